"""Ways to files that were not granted. Each succeeds outside and must fail inside."""

import os

import pytest
from arena.sandbox import SMALL, attempt_inside, attempt_outside

from mcp_client.errors import MCPError
from mcp_client.policy.folders import grant_folder
from mcp_client.policy.model import Folder


@pytest.fixture
def secret(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "secret")
    with open(path, "w", encoding="utf-8") as file:
        file.write("host secret")
    return path


@pytest.fixture
def granted(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "granted")
    os.mkdir(path)
    with open(os.path.join(path, "note"), "w", encoding="utf-8") as file:
        file.write("note")
    return path


READS = {
    "its own path": "return open(target).read()",
    "/proc/self/root": "return open('/proc/self/root' + target).read()",
    "/proc/1/root": "return open(f'/proc/{PID}/root' + target).read()",
    "dots": "return open('/tmp/../../../../../..' + target).read()",
    "a link made inside": """
        path = f'/tmp/link-{os.getpid()}'
        os.symlink(target, path)
        try:
            return open(path).read()
        finally:
            os.unlink(path)
    """,
    "the working folder's parents": """
        for _ in range(64):
            os.chdir('..')
        return open('.' + target).read()
    """,
}


@pytest.mark.parametrize("way", READS)
def test_a_file_of_the_host_cannot_be_read_by(way: str, secret: str) -> None:
    inside = attempt_inside(READS[way].replace("{PID}", "1"), secret)
    assert inside.refused in {"ENOENT", "EACCES", "EPERM"}
    outside = attempt_outside(READS[way].replace("{PID}", "self"), secret)
    assert outside.got == "host secret"


@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_a_link_in_the_bundle_leads_nowhere(link: str, secret: str, tmp_path: os.PathLike[str]) -> None:
    tree = os.path.join(tmp_path, "tree")
    os.mkdir(tree)
    os.symlink(secret if link == "absolute" else "../secret", os.path.join(tree, "link"))
    assert attempt_inside("return open('/bundle/link').read()", tree=tree).refused == "ENOENT"
    assert attempt_outside("return open(target).read()", os.path.join(tree, "link")).got == "host secret"


@pytest.mark.parametrize("place", ["/bundle/new", "/new", "/usr/new", "/etc/new", "/dev/new", "/home/new"])
def test_nothing_can_be_written_at(place: str, tmp_path: os.PathLike[str]) -> None:
    body = "return open(target, 'w').write('x')"
    assert attempt_inside(body, place).refused == "EROFS"
    assert attempt_outside(body, os.path.join(tmp_path, "new")).got == 1


@pytest.mark.parametrize(
    "change",
    [
        "open(f, 'w')",
        "os.unlink(f)",
        "os.rename(f, f + '2')",
        "os.chmod(f, 0o600)",
        "os.utime(f)",
        "os.link(f, f + '2')",
    ],
)
def test_a_read_only_grant_stays_as_it_is(change: str, granted: str) -> None:
    body = f"f = target + '/note'\n{change}\nreturn True"
    inside = attempt_inside(body, "/mnt/notes", folders=[Folder(granted, "/mnt/notes", False)])
    assert inside.refused == "EROFS"
    assert attempt_outside(body, granted).got is True


def test_a_writable_grant_can_be_written_and_is_the_callers(granted: str) -> None:
    body = "return open(target + '/made', 'w').write('made inside')"
    inside = attempt_inside(body, "/mnt/notes", folders=[Folder(granted, "/mnt/notes", True)])
    assert inside.got == len("made inside")
    made = os.stat(os.path.join(granted, "made"))
    assert (made.st_uid, made.st_gid) == (os.getuid(), os.getgid())


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o6755])
def test_no_setuid_file_can_be_left_behind(bits: int, granted: str) -> None:
    body = f"os.chmod(target + '/note', {bits}); return True"
    folders = [Folder(granted, "/mnt/notes", True)]
    assert attempt_inside(body, "/mnt/notes", folders=folders).refused == "EPERM"
    create = f"os.close(os.open(target + '/made', os.O_CREAT | os.O_WRONLY, {bits})); return True"
    assert attempt_inside(create, "/mnt/notes", folders=folders).refused == "EPERM"
    assert attempt_outside(body, granted).got is True


@pytest.mark.parametrize("place", ["/tmp", "/home/mcp", "/dev/shm"])
def test_scratch_space_holds_no_programs(place: str, tmp_path: os.PathLike[str]) -> None:
    """Executing is refused at the gate already; a library would be mapped."""
    body = """
        import mmap
        with open(target + '/library', 'wb+') as file:
            file.write(bytes(4096))
            file.flush()
            return len(mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
    """
    assert attempt_inside(body, place).refused == "EPERM"
    assert attempt_inside(body, place, subprocess=True).got == 4096
    assert attempt_outside(body, str(tmp_path)).got == 4096


def test_scratch_space_is_bounded_in_bytes() -> None:
    body = """
        with open('/tmp/filler-%d' % os.getpid(), 'wb') as file:
            try:
                return sum(file.write(bytes(1 << 20)) for _ in range(48))
            finally:
                os.unlink(file.name)
    """
    assert attempt_inside(body, limits=SMALL).refused == "ENOSPC"
    assert attempt_outside(body).got == 48 << 20


def test_scratch_space_is_bounded_in_entries(tmp_path: os.PathLike[str]) -> None:
    body = """
        for number in range(17000):
            os.mkdir(f'{target}/{number}')
        return number
    """
    assert attempt_inside(body, "/tmp").refused == "ENOSPC"
    assert attempt_outside(body, str(tmp_path)).got == 16999


def test_the_root_holds_nothing_but_what_is_listed() -> None:
    listed = attempt_inside("return sorted(os.listdir('/'))").got
    assert set(listed) <= {
        *("bin", "bundle", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp"),
        *("usr", "var", "nix", "gnu", *_runtime_roots()),
    }
    assert "run" not in listed
    assert "sys" not in listed


def _runtime_roots() -> set[str]:
    from arena.sandbox import python_runtime

    return {path.split("/")[1] for path in python_runtime().paths}


def test_a_file_behind_standard_error_cannot_be_opened_again(tmp_path: os.PathLike[str]) -> None:
    """A client that logs to a file passes it for appending; opened again, it could be read and cut."""
    body = """
        descriptor = os.open('/proc/self/fd/2', os.O_RDWR)
        os.ftruncate(descriptor, 0)
        return True
    """
    path = os.path.join(tmp_path, "client.log")
    with open(path, "w", encoding="utf-8") as file:
        file.write("what other servers said\n")
    # Open to everybody, so that nothing but Landlock stands in the way when root runs this.
    os.chmod(path, 0o666)
    saved, log = os.dup(2), os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.dup2(log, 2)
        inside = attempt_inside(body)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(log)
    # Standard error is a pipe of the server's own: before Linux 6.2 it may be opened, and is no file to cut.
    assert inside.refused in {"EACCES", "EINVAL"}
    with open(path, encoding="utf-8") as file:
        assert file.read() == "what other servers said\n"
    again = "os.ftruncate(os.open(target, os.O_RDWR), 0); return True"
    assert attempt_outside(again, path).got is True


def test_a_folder_that_is_exchanged_after_the_check_is_not_shown(tmp_path: os.PathLike[str]) -> None:
    home = os.path.join(tmp_path, "home")
    wanted, private = os.path.join(tmp_path, "wanted"), os.path.join(home, "private")
    for folder in (home, wanted, private):
        os.mkdir(folder)
    grant = grant_folder(wanted, "/mnt/x", writable=True, private=[private])
    os.rename(wanted, f"{wanted}-2")
    os.symlink(private, wanted)
    with pytest.raises(MCPError, match="exchanged"):
        attempt_inside("return os.listdir('/mnt/x')", folders=[grant])
