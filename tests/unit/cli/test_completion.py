import os
import shlex
import shutil
import subprocess
import sys

import pytest

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="no bash here")
BREAKS = " \t\n\"'@><=;|&(:"
HELLO = "acme/hello-world@1.2.3"
FOLDER = os.path.dirname(sys.executable)


def bash(script, name):
    """Run ``script`` in bash after sourcing the completion script of the installed program."""
    done = subprocess.run(
        [BASH, "-c", f"source <({name} completion bash); {script}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{FOLDER}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def complete(line, name="mcp", breaks=BREAKS):
    """What is offered to readline for ``line`` with the cursor at its end."""
    function = f"_{name.replace('-', '_')}_completion"
    return bash(
        f"COMP_WORDBREAKS={shlex.quote(breaks)} COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}; "
        f'{function} {name}; echo "${{COMPREPLY[@]}}"',
        name,
    )


@needs_bash
@pytest.mark.parametrize("name", ["mcp", "mcp-client"])
def test_bash_completes_commands_under_either_name(name):
    assert complete(f"{name} in", name) == ["info"]
    assert complete(f"{name} cache r", name) == ["rm"]
    assert "doctor" in complete(f"{name} ", name)


@needs_bash
def test_bash_completes_options_and_choices():
    assert complete("mcp info --off") == ["--offline"]
    assert complete("mcp completion ") == ["bash", "zsh", "fish"]
    assert complete("mcp --log-level w") == ["warning"]


@needs_bash
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("acme/hel", HELLO),
        ("acme/hello-world@", "1.2.3"),
        ("acme/hello-world@1.", "1.2.3"),
    ],
)
def test_bash_is_offered_what_it_will_replace(typed, offered):
    # readline replaces what stands after the last of COMP_WORDBREAKS
    assert complete(f"mcp run {typed}") == [offered]


@needs_bash
def test_bash_that_does_not_cut_words_is_offered_the_whole():
    assert complete("mcp run acme/hello-world@1", breaks=" \t\n") == [HELLO]


@needs_bash
def test_bash_is_offered_nothing_where_nothing_fits():
    assert complete("mcp run nobody/x@") == []


@needs_bash
def test_bash_script_works_from_words_alone():
    script = 'COMP_WORDS=(mcp info acme/); COMP_CWORD=2; _mcp_completion mcp; echo "${COMPREPLY[@]}"'

    assert bash(script, "mcp") == [HELLO]


@needs_bash
@pytest.mark.parametrize("name", ["mcp", "mcp-client"])
def test_bash_has_the_function_registered_for_the_name(name):
    function = f"_{name.replace('-', '_')}_completion"

    assert bash(f"complete -p {name}", name)[-3:] == ["-F", function, name]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_clicks_own_script(shell, call, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/mcp-client"])

    called = call("completion", shell)

    assert called.status == 0
    assert f"_MCP_CLIENT_COMPLETE={shell}_complete" in called.stdout


def test_the_request_of_a_shell_is_answered_on_standard_output(call, monkeypatch):
    monkeypatch.setenv("_MCP_COMPLETE", "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "mcp pull acme/")
    monkeypatch.setenv("COMP_CWORD", "2")

    called = call()

    assert called.status == 0
    assert HELLO in called.stdout.splitlines()


def test_a_broken_configuration_does_not_break_completion(call, monkeypatch, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("nonsense: true\n")
    monkeypatch.setenv("MCP_CONFIG", str(config))
    monkeypatch.setenv("_MCP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "mcp info acme/")
    monkeypatch.setenv("COMP_CWORD", "2")

    called = call()

    assert (called.status, called.stdout.strip(), called.stderr) == (0, "", "")
