"""The plan of the server's world, without building it."""

import os

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS, Folder
from mcp_client.sandbox.linux.layout import check_target, plan_mounts
from mcp_client.sandbox.spec import Bind, MountOperation, Tmpfs


def _plan(
    *, runtimes: tuple[str, ...] = (), folders: tuple[Folder, ...] = (), executable: bool = False
) -> tuple[MountOperation, ...]:
    return plan_mounts(
        tree="/tree",
        data="/host/data",
        runtimes=runtimes,
        folders=folders,
        limits=DEFAULT_LIMITS,
        executable_scratch=executable,
    )


def _binds(operations: tuple[MountOperation, ...]) -> dict[str, Bind]:
    return {operation.target: operation for operation in operations if isinstance(operation, Bind)}


def test_only_data_grants_and_devices_are_writable() -> None:
    binds = _binds(_plan(folders=(Folder("/a", "/a", True), Folder("/b", "/b", False))))
    writable = {target for target, bind in binds.items() if bind.writable and not bind.device}
    assert writable == {"/data", "/a"}


def test_what_is_writable_holds_programs_only_when_children_are_allowed() -> None:
    for executable in (False, True):
        operations = _plan(folders=(Folder("/a", "/a", True),), executable=executable)
        writable = [op for op in operations if isinstance(op, Bind) and op.writable and not op.device]
        scratch = [op for op in operations if isinstance(op, Tmpfs) and op.writable]
        assert {op.executable for op in (*writable, *scratch)} == {executable}


def test_the_hosts_private_places_are_no_source() -> None:
    sources = {bind.source for bind in _binds(_plan()).values()}
    home = os.path.expanduser("~")
    for private in ("/", "/etc", "/run", "/sys", "/dev", "/proc", "/var", "/root", "/home", home):
        assert private not in sources


def test_parents_are_mounted_before_what_lies_in_them() -> None:
    folders = (Folder("/x", "/srv/a/b/c", False), Folder("/y", "/srv/a", False), Folder("/z", "/srv", True))
    granted = [
        op.target for op in _plan(folders=folders) if isinstance(op, Bind) and op.target.startswith("/srv")
    ]
    assert granted == ["/srv", "/srv/a", "/srv/a/b/c"]


def test_a_runtime_of_the_system_needs_no_mount_of_its_own() -> None:
    targets = _binds(_plan(runtimes=("/usr", "/usr/lib/x", "/opt/node")))
    assert "/opt/node" in targets
    assert "/usr/lib/x" not in targets


@pytest.mark.parametrize(
    "inside",
    [
        "/",
        "/usr",
        "/usr/lib",
        "/etc/ssl",
        "/proc/1",
        "/dev/null",
        "/bundle",
        "/bundle/x",
        "/data",
        "/bin",
        "/sys",
    ],
)
def test_the_sandboxs_own_places_cannot_be_covered(inside: str) -> None:
    with pytest.raises(MCPError) as caught:
        check_target(inside)
    assert caught.value.code == "mount-refused"


def test_two_grants_at_one_place_are_refused() -> None:
    with pytest.raises(MCPError, match="two different mounts"):
        _plan(folders=(Folder("/a", "/mnt", False), Folder("/b", "/mnt", False)))
    _plan(folders=(Folder("/a", "/mnt", False), Folder("/a", "/mnt", False)))


def test_every_operation_can_be_printed() -> None:
    assert all(operation.describe() for operation in _plan(runtimes=("/opt/x",)))
