"""The restricted sandbox's plan, its choice, and the family that init keeps."""

import os
import signal
from collections.abc import Callable

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox.backend import open_backend
from mcp_client.sandbox.linux import libc, probes
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.filters import Profile, load_filters
from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend
from mcp_client.sandbox.linux.restricted.descendants import (
    Descendants,
    children_of,
    descendants_of,
    end_children,
)
from mcp_client.sandbox.linux.restricted.layout import plan_access
from mcp_client.sandbox.scratch import make_scratch, remove_scratch
from mcp_client.sandbox.spec import Bind

HOME = os.path.expanduser("~")


def _plan(*folders: Folder, executable: bool = False) -> dict[str, Bind]:
    binds = plan_access(
        tree="/tree",
        data="/host/data",
        scratch="/scratch",
        runtimes=("/opt/node",),
        folders=folders,
        executable_scratch=executable,
    )
    return {bind.source: bind for bind in binds}


def test_every_path_is_itself() -> None:
    assert all(bind.source == bind.target for bind in _plan(Folder("/a", "/a", True)).values())


def test_only_scratch_data_grants_and_devices_are_writable() -> None:
    binds = _plan(Folder("/a", "/a", True), Folder("/b", "/b", False))
    assert {path for path, bind in binds.items() if bind.writable and not bind.device} == {
        "/scratch",
        "/host/data",
        "/a",
    }


def test_what_is_writable_holds_programs_only_when_children_are_allowed() -> None:
    for executable in (False, True):
        binds = _plan(Folder("/a", "/a", True), executable=executable)
        found = {binds[path].executable for path in ("/scratch", "/host/data", "/a")}
        assert found == {executable}


def test_no_folder_of_the_hosts_is_named_as_a_whole() -> None:
    for private in (
        "/",
        "/etc",
        "/run",
        "/sys",
        "/dev",
        "/dev/shm",
        "/proc",
        "/proc/self",
        "/tmp",
        "/root",
        HOME,
    ):
        assert private not in _plan()


@pytest.mark.parametrize(("host", "inside"), [("/a", "/b"), ("/a", "/etc/a"), ("/", "/"), ("/proc", "/proc")])
def test_a_folder_that_would_have_to_move_is_refused(host: str, inside: str) -> None:
    with pytest.raises(MCPError) as caught:
        _plan(Folder(host, inside, False))
    assert caught.value.code == "mount-refused"


def test_the_levels_have_filters_of_their_own(tmp_path: os.PathLike[str]) -> None:
    levels = [load_filters(str(tmp_path), Profile(False, restricted=level)) for level in (False, True)]
    assert levels[0].calls != levels[1].calls
    assert levels[0].arguments != levels[1].arguments


def test_the_choice_follows_what_the_host_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    obstacle = MCPError("sandbox-unavailable", "no", hint="allow it")
    monkeypatch.setattr(probes, "full_sandbox_obstacle", lambda: obstacle)
    assert type(open_backend("/x/filters", "refuse")) is LinuxBackend
    assert type(open_backend("/x/filters", "degrade")) is RestrictedBackend
    monkeypatch.setattr(probes, "full_sandbox_obstacle", lambda: None)
    assert type(open_backend("/x/filters", "degrade")) is LinuxBackend


def _child(*, grandchild: bool = False) -> int:
    pid = os.fork()
    if pid == 0:
        if grandchild:
            os.fork()
        while True:
            signal.pause()
    return pid


def test_the_family_is_found_signalled_and_ended_but_for_who_is_spared() -> None:
    def scenario() -> None:
        spared, parent = _child(), _child(grandchild=True)
        while len(found := descendants_of(os.getpid())) < 3:
            os.sched_yield()
        assert set(children_of(os.getpid())) == {spared, parent}
        assert found.index(parent) < len(found) - 1
        Descendants(parent, alone=True).signal(signal.SIGKILL)
        assert os.waitpid(parent, 0)[1] == signal.SIGKILL
        end_children({spared})
        assert descendants_of(os.getpid()) == [spared]
        end_children()

    _in_subreaper(scenario)


def _in_subreaper(scenario: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
            scenario()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_a_scratch_folder_in_use_is_not_swept(tmp_path: os.PathLike[str]) -> None:
    one, other = (os.path.join(tmp_path, "scratch", name) for name in ("one", "other"))
    held = make_scratch(one)
    os.mkdir(os.path.join(one, "kept"))
    remove_scratch(other, make_scratch(other))
    assert os.listdir(one) == ["kept"]
    os.close(held)
    remove_scratch(other, make_scratch(other))
    assert os.listdir(os.path.join(tmp_path, "scratch")) == []


def test_links_in_a_scratch_folder_are_removed_and_not_followed(tmp_path: os.PathLike[str]) -> None:
    kept = os.path.join(tmp_path, "kept")
    os.mkdir(kept, 0o750)
    os.mkdir(os.path.join(kept, "inner"))
    path = os.path.join(tmp_path, "scratch", "x")
    held = make_scratch(path)
    os.makedirs(os.path.join(path, "a", "b"))
    for folder in (path, os.path.join(path, "a"), os.path.join(path, "a", "b")):
        os.symlink(kept, os.path.join(folder, "link"))
    os.chmod(os.path.join(path, "a"), 0)
    remove_scratch(path, held)
    assert not os.path.exists(path)
    assert os.listdir(kept) == ["inner"]
    assert os.stat(kept).st_mode & 0o777 == 0o750
