"""What the server and its init have given up, as the kernel tells it."""

import os
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside, filter_folder, run_inside

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux import layout
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.spec import Sysctl

_PR_GET_SECUREBITS = 27
_STATUS = """
    status = dict(line.split(':', 1) for line in open(target) if ':' in line)
    names = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs')
    return {name: int(status[name], 16) for name in names}
"""


@pytest.mark.parametrize("kind", ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"])
def test_the_namespace_is_another_one(kind: str) -> None:
    body = "return os.readlink('/proc/self/ns/' + target)"
    host = os.readlink(f"/proc/self/ns/{kind}")
    assert attempt_inside(body, kind).got != host
    assert attempt_outside(body, kind).got == host


def test_no_further_user_namespaces_are_allowed() -> None:
    body = "return int(open('/proc/sys/user/max_user_namespaces').read())"
    assert attempt_inside(body).got == 0
    assert attempt_outside(body).got > 0


def test_user_namespaces_that_only_seem_to_be_gone_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = layout.plan_mounts

    def forget(**options: Any) -> Any:
        return tuple(
            op for op in plan(**options) if not (isinstance(op, Sysctl) and "namespaces" in op.target)
        )

    assert attempt_inside("return 1").got == 1
    monkeypatch.setattr(layout, "plan_mounts", forget)
    with pytest.raises(MCPError, match="user namespace"):
        attempt_inside("return 1")


def test_groups_cannot_be_changed() -> None:
    body = "return open('/proc/self/setgroups').read().strip()"
    assert attempt_inside(body).got == "deny"
    assert attempt_outside(body).got == "allow"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave its groups")
def test_the_groups_of_root_are_left() -> None:
    body = "return os.getgroups()"
    saved = os.getgroups()
    os.setgroups([4, 27])
    try:
        assert attempt_outside(body).got == [4, 27]
        assert attempt_inside(body).got == []
    finally:
        os.setgroups(saved)


def test_init_has_no_privileges_left() -> None:
    inside = attempt_inside(_STATUS, "/proc/1/status").got
    assert inside.pop("NoNewPrivs") == 1
    assert set(inside.values()) == {0}
    outside = attempt_outside(_STATUS, "/proc/1/status").got
    assert outside["NoNewPrivs"] == 0
    assert outside["CapBnd"]


def test_root_has_no_meaning() -> None:
    """SECBIT_* (capabilities(7)): all but KEEP_CAPS are set, and every one is locked."""
    body = "return libc.prctl(target, 0, 0, 0, 0)"
    assert attempt_inside(body, _PR_GET_SECUREBITS).got == 0b11101111
    assert attempt_outside(body, _PR_GET_SECUREBITS).got == 0


def test_standard_error_is_a_pipe_of_the_sandbox() -> None:
    assert run_inside("import sys; sys.stderr.write('said')").errors == b"said"
    body = "import stat; return [stat.S_ISFIFO(os.fstat(2).st_mode), os.fstat(2).st_ino]"
    is_pipe, number = attempt_inside(body).got
    assert is_pipe
    assert number != os.fstat(2).st_ino


def test_a_working_folder_that_leads_elsewhere_is_refused(tmp_path: os.PathLike[str]) -> None:
    assert _start_in("/tmp", str(tmp_path)) is None
    failure = _start_in("/var/tmp", str(tmp_path))
    assert failure is not None
    assert "leads elsewhere" in failure


def _start_in(folder: str, tree: str) -> str | None:
    backend = LinuxBackend(filter_folder())
    policy = Policy({}, False, DEFAULT_LIMITS, (), ())
    spec = backend.plan(Command(("/bin/true",), (), ()), policy, tree=tree, data=None)
    process = None
    try:
        process = backend.launch(spec._replace(directory=folder))
        process.await_ready()
    except MCPError as error:
        return str(error)
    process.kill()
    process.collect()
    return None
