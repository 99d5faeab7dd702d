"""Variables of the caller: those that carry secrets and those that change programs stay with him."""

import os
from collections.abc import Mapping

import pytest
from arena.attacks import Program, hear_inside, hear_outside
from arena.sandbox import attempt_inside, attempt_outside

VARIABLES = Program("environment/variables.sh")

SECRETS = """
    AWS_SECRET_ACCESS_KEY GITHUB_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY MCP_REGISTRY_TOKEN SSH_AUTH_SOCK
    SSH_AGENT_PID GPG_AGENT_INFO KUBECONFIG DOCKER_HOST DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR DISPLAY
    XAUTHORITY WAYLAND_DISPLAY HTTPS_PROXY http_proxy MCP_HOME SUDO_USER
""".split()
INJECTIONS = """
    LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT PYTHONPATH PYTHONSTARTUP PYTHONHOME NODE_OPTIONS NODE_PATH BASH_ENV
    ENV PERL5OPT PERL5LIB RUBYOPT JAVA_TOOL_OPTIONS GCONV_PATH LOCPATH GIT_SSH_COMMAND EDITOR
""".split()
NAMES = [*SECRETS, *INJECTIONS]


VALUE = "/none/of/yours"


@pytest.fixture(scope="module")
def heard() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What a shell says of each outside and inside, where the caller has set them all."""
    kept = dict(os.environ)
    try:
        os.environ.update(dict.fromkeys(NAMES, VALUE))
        inside = hear_inside(VARIABLES, {"NAMES": " ".join(NAMES)})
    finally:
        for name in NAMES:
            del os.environ[name]
        os.environ.update(kept)
    # In the loader of a shell outside they would do their work before it speaks.
    given = {"NAMES": " ".join(NAMES), **dict.fromkeys(NAMES, VALUE)}
    return hear_outside(VARIABLES, given), inside


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_of_the_caller_does_not_arrive(
    name: str, heard: tuple[Mapping[str, str], Mapping[str, str]]
) -> None:
    outside, inside = heard
    assert outside[name] == f"got={VALUE}"
    assert inside[name] == "ENOENT"


def test_nothing_but_the_granted_and_the_sandboxs_own_is_there() -> None:
    body = "return sorted(os.environ)"
    own = ["HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER"]
    # LC_CTYPE is of Python's own making.
    assert set(attempt_inside(body, environment={"GRANTED": "1"}).got) - {"LC_CTYPE"} == {*own, "GRANTED"}
    assert len(attempt_outside(body).got) > 0


def test_the_callers_variables_are_not_in_memory_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither above the stack of the server nor anywhere else that it can read of itself."""
    monkeypatch.setenv("A_SECRET_OF_THE_HOST", "s3cr3t-" * 3)
    body = """
        found = 0
        for line in open('/proc/self/maps'):
            ends, rights, *_, name = (line.split() + [''])[:6]
            if rights[0] == 'r' and name not in ('[vvar]', '[vsyscall]', '[vvar_vclock]'):
                start, end = (int(part, 16) for part in ends.split('-'))
                with open('/proc/self/mem', 'rb') as memory:
                    memory.seek(start)
                    try:
                        found += memory.read(end - start).count(bytes(target[::-1], 'ascii'))
                    except OSError:
                        pass
        return found
    """
    backwards = ("s3cr3t-" * 3)[::-1]
    assert attempt_inside(body, backwards).got == 0
    assert attempt_outside(body, backwards).got > 0
