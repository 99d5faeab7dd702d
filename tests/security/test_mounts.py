"""The table of mounts, and grants that would lead a mount astray."""

import ctypes
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside, python_runtime

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox.linux import libc

_MS_SHARED = 1 << 20

TABLE = """
    found = []
    for line in open('/proc/self/mountinfo'):
        fields = line.split()
        end = fields.index('-')
        found.append([fields[4], fields[5].split(','), fields[6:end], fields[end + 1]])
    return found
"""
# name -> whether it is hidden, by an empty folder of another file system or by the device null.
LOOK = """
    import stat
    found = {}
    for name in target:
        status = os.stat('/proc/' + name)
        if stat.S_ISDIR(status.st_mode):
            found[name] = status.st_dev != os.stat('/proc').st_dev and not os.listdir('/proc/' + name)
        else:
            found[name] = status.st_rdev == os.makedev(1, 3)
    return found
"""
MASKED = """
    acpi asound cmdline config.gz interrupts kallsyms kcore key-users keys kmsg kpagecgroup kpagecount
    kpageflags latency_stats modules sched_debug scsi slabinfo sysrq-trigger timer_list timer_stats
    vmallocinfo
""".split()


def test_no_mount_gives_privileges_or_devices() -> None:
    for point, options, _, _ in attempt_inside(TABLE).got:
        assert "nosuid" in options, point
        assert "nodev" in options or _shows_a_device(point), point
    assert any("nosuid" not in options and "nodev" not in options for _, options, _, _ in _outside())


def _shows_a_device(point: str) -> bool:
    return point.startswith("/dev/") or os.path.basename(point) in MASKED


def _outside() -> list[Any]:
    return list(attempt_outside(TABLE).got)


SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/etc")
OWN = {"/", "/proc", "/tmp", "/home/mcp", "/dev/shm", "/bundle"}


def test_nothing_is_mounted_but_what_is_listed(tmp_path: os.PathLike[str]) -> None:
    places = (*SYSTEM, *python_runtime().paths, "/proc")
    listed = {*OWN, *(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))}

    def more(**options: Any) -> set[str]:
        points = {point for point, _, _, _ in attempt_inside(TABLE, **options).got} - listed
        return {point for point in points if not any(f"{point}/".startswith(f"{place}/") for place in places)}

    assert more() == set()
    assert more(folders=[Folder(str(tmp_path), "/mnt/granted", False)]) == {"/mnt/granted"}


def test_there_is_one_root_and_nothing_above_it() -> None:
    assert [kind for point, _, _, kind in attempt_inside(TABLE).got if point == "/"] == ["tmpfs"]
    assert attempt_inside("return sorted(os.listdir('/..')) == sorted(os.listdir('/'))").got is True
    assert attempt_outside(TABLE).got


def test_no_mount_of_the_host_propagates(tmp_path: os.PathLike[str]) -> None:
    def look() -> list[Any]:
        with open("/proc/self/mountinfo", encoding="ascii") as file:
            assert "shared:" in file.read()
        return [point for point, _, peers, _ in attempt_inside(TABLE).got if peers]

    assert _with_own_mounts(look) == []


def test_what_is_mounted_below_a_read_only_grant_is_read_only(tmp_path: os.PathLike[str]) -> None:
    folder = os.path.join(tmp_path, "granted")
    below = os.path.join(folder, "below")
    os.makedirs(below)

    def write(writable: bool) -> str | None:
        data = ctypes.c_char_p(b"mode=1777")
        assert libc._libc.mount(b"tmpfs", os.fsencode(below), b"tmpfs", ctypes.c_ulong(0), data) == 0
        grant = Folder(folder, "/mnt/granted", writable)
        report = attempt_inside("return open('/mnt/granted/below/new', 'w').write('x')", folders=[grant])
        return report.refused

    assert _with_own_mounts(lambda: write(False)) == "EROFS"
    assert _with_own_mounts(lambda: write(True)) is None


def _with_own_mounts(action: Callable[[], Any]) -> Any:
    """What ``action`` returns in a process whose mounts are its own, and shared."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer: Any = None
        try:
            _leave_the_hosts_mounts()
            answer = {"got": action()}
        except BaseException:  # noqa: BLE001  the test tells it
            answer = {"problem": traceback.format_exc()}
        finally:
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "problem" not in answer, answer["problem"]
    return answer["got"]


def _leave_the_hosts_mounts() -> None:
    uid, gid = os.geteuid(), os.getegid()
    flags = ctypes.c_int(libc.CLONE_NEWNS | (libc.CLONE_NEWUSER if uid else 0))
    assert libc._libc.unshare(flags) == 0
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    # Private first, so that nothing of this reaches the host.
    for kind in (libc.MS_PRIVATE, _MS_SHARED):
        assert libc._libc.mount(None, b"/", None, ctypes.c_ulong(libc.MS_REC | kind), None) == 0


def test_a_writable_grant_holds_no_programs(tmp_path: os.PathLike[str]) -> None:
    body = """
        import mmap
        with open(target + '/library', 'wb+') as file:
            file.write(bytes(4096))
            file.flush()
            return len(mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
    """
    folder = os.path.join(tmp_path, "granted")
    os.mkdir(folder)
    grants = [Folder(folder, "/mnt/granted", True)]
    assert attempt_inside(body, "/mnt/granted", folders=grants).refused == "EPERM"
    assert attempt_inside(body, "/mnt/granted", folders=grants, subprocess=True).got == 4096
    assert attempt_outside(body, folder).got == 4096


@pytest.fixture
def public() -> Iterator[str]:
    """A folder open to everybody, and so are its parents: no mode stands in for a control."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield folder


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_link_in_a_grant_leads_no_mount_astray(kind: str, public: str) -> None:
    outer, other, inner = (os.path.join(public, name) for name in ("outer", "other", "inner"))
    for folder in (outer, os.path.join(other, "point"), inner):
        os.makedirs(folder)
    with open(os.path.join(inner, "note"), "w", encoding="ascii") as file:
        file.write("x")
    way = os.path.join(outer, "way")
    if kind == "link":
        os.symlink(other, way)
    else:
        os.makedirs(os.path.join(way, "point"))
    grants = [Folder(outer, "/mnt/outer", False), Folder(inner, "/mnt/outer/way/point", False)]
    if kind == "link":
        with pytest.raises(MCPError):
            attempt_inside("return 1", folders=grants)
    else:
        assert attempt_inside("return os.listdir('/mnt/outer/way/point')", folders=grants).got == ["note"]


def test_nothing_is_made_in_a_grant_for_a_mount(tmp_path: os.PathLike[str]) -> None:
    outer, inner = (os.path.join(tmp_path, name) for name in ("outer", "inner"))
    for folder in (outer, inner):
        os.mkdir(folder)
    grants = [Folder(outer, "/mnt/outer", True), Folder(inner, "/mnt/outer/new", False)]
    with pytest.raises(MCPError):
        attempt_inside("return 1", folders=grants)
    assert os.listdir(outer) == []
    os.mkdir(os.path.join(outer, "new"))
    assert attempt_inside("return os.listdir('/mnt/outer/new')", folders=grants).got == []


def test_users_are_not_those_of_the_host() -> None:
    body = "return sorted(line.split(':')[0] for line in open('/etc/passwd'))"
    assert attempt_inside(body).got == ["mcp", "nobody"]
    assert "root" in attempt_outside(body).got


def test_every_mask_hides() -> None:
    names = [name for name in MASKED if os.path.exists(f"/proc/{name}")]
    assert names
    assert attempt_inside(LOOK, names).got == dict.fromkeys(names, True)
    assert attempt_outside(LOOK, names).got == dict.fromkeys(names, False)
