"""Files without a mount namespace: what is not named cannot be read, and nothing of it changed."""

import os
import stat

import pytest
from arena.sandbox import attempt_inside, attempt_outside, run_inside

from mcp_client.policy.model import Folder

REFUSED = {"EACCES", "EPERM", "EXDEV"}
ID = "target + '/.ssh/id'"
HOME = "os.environ.get('HOME')"

READS = {
    "a file": f"return open({ID}).read()",
    "by a link": f"os.symlink({ID}, {HOME} + '/link'); return open({HOME} + '/link').read()",
    "by ..": "return open(os.getcwd() + '/..' * 40 + target + '/.ssh/id').read()",
    "by the root of ours": f"return open('/proc/self/root' + {ID}).read()",
    "by a working folder": "os.chdir(target); return open('.ssh/id').read()",
    "a folder": "return os.listdir(target)",
    "by a hard link": f"os.link({ID}, {HOME} + '/hard'); return open({HOME} + '/hard').read()",
    "an open for ioctl": f"return os.open({ID}, 3)",
    "an extended attribute": f"return os.listxattr({ID}) or True",
    "by watching": """
        watch = call(294, 0)
        return call(254, watch, ctypes.c_char_p(target.encode()), 0x100) and True
    """
    if os.uname().machine == "x86_64"
    else f"return open({ID}).read()",
}

WRITES = {
    "a file": f"open({ID}, 'w').write('x'); return True",
    "a new file": "open(target + '/new', 'w'); return True",
    "a folder": "os.mkdir(target + '/folder'); return True",
    "truncate": f"os.truncate({ID}, 0); return True",
    "an open that truncates": f"os.open({ID}, os.O_RDONLY | os.O_TRUNC); return True",
    "an open for ioctl that truncates": f"os.open({ID}, 3 | os.O_TRUNC); return True",
    "chmod": f"os.chmod({ID}, 0o600); return True",
    "chmod at": "os.chmod('id', 0o600, dir_fd=os.open(target + '/.ssh', os.O_PATH)); return True",
    "chown": f"os.chown({ID}, -1, os.getgid()); return True",
    "utime": f"os.utime({ID}, (1, 1)); return True",
    "setxattr": f"os.setxattr({ID}, 'user.x', b'x'); return True",
    "unlink": f"os.unlink({ID}); return True",
    "rename": f"os.rename({ID}, target + '/moved'); return True",
    "a symbolic link": "os.symlink('x', target + '/link'); return True",
    "a pipe": "os.mkfifo(target + '/pipe'); return True",
}


def contents(folder: str) -> list[object]:
    """Everything about what is in there but the time of reading."""
    found: list[object] = []
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            with open(os.path.join(path, name), "rb") as file:
                found.append((name, status.st_mode, status.st_mtime_ns, status.st_ctime_ns, file.read()))
    return found


@pytest.mark.parametrize("way", READS)
def test_a_file_of_the_user_cannot_be_read(way: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    assert attempt_inside(READS[way], home).refused in REFUSED
    assert attempt_outside(READS[way], home).got


@pytest.mark.parametrize("way", WRITES)
def test_a_file_of_the_user_cannot_be_changed(way: str, home: str) -> None:
    before = contents(home)
    assert attempt_inside(WRITES[way], home).refused in REFUSED
    assert contents(home) == before
    assert attempt_outside(WRITES[way], home).got is True


@pytest.mark.parametrize(
    "place", ["/etc/shadow", "~/.mcp", "~/.ssh", "/", "/etc", "/home", "/run", "/sys", "/dev"]
)
def test_places_of_the_host_are_closed(place: str) -> None:
    path = os.path.expanduser(place)
    body = "os.close(os.open(target, os.O_RDONLY)); return True"
    if not os.path.exists(path):
        assert attempt_inside(body, path).refused == "ENOENT"
    else:
        assert attempt_inside(body, path).refused == "EACCES"


@pytest.mark.parametrize("access", ["fchmod", "fsetxattr", "futimens", "flags", "write", "unlink", "create"])
def test_the_bundle_cannot_be_changed(access: str, home: str) -> None:
    bodies = {
        "fchmod": "os.fchmod(os.open('main.py', os.O_RDONLY), 0o600)",
        "fsetxattr": "os.setxattr(os.open('main.py', os.O_RDONLY), 'user.x', b'x')",
        "futimens": "os.utime(os.open('main.py', os.O_RDONLY), (1, 1))",
        "flags": "import fcntl; fcntl.ioctl(os.open('main.py', os.O_RDONLY), 0x40086602, b'\\0' * 8)",
        "write": "open('main.py', 'a')",
        "unlink": "os.unlink('main.py')",
        "create": "open('other.py', 'w')",
    }
    with open(os.path.join(home, "main.py"), "w"):
        pass
    os.chmod(os.path.join(home, "main.py"), 0o666)
    before = contents(home)
    body = f"os.chdir(target); {bodies[access]}; return True"
    inside = attempt_inside(body, home, tree=home)
    assert inside.refused in REFUSED | {"ENOSYS"}, inside
    assert contents(home) == before
    assert attempt_outside(body, home).got is True


def test_the_scratch_folder_is_home_and_temporary_and_goes(restricted: str) -> None:
    body = """
        assert os.environ['HOME'] == os.environ['TMPDIR']
        os.makedirs(os.environ['HOME'] + '/a/b')
        os.rename(os.environ['HOME'] + '/a/b', os.environ['HOME'] + '/b')
        open(os.environ['HOME'] + '/b/file', 'w').write('x')
        os.mkdir(os.environ['HOME'] + '/closed', 0)
        return [os.environ['HOME'], oct(os.stat(os.environ['HOME']).st_mode)]
    """
    path, mode = attempt_inside(body).got
    assert os.path.dirname(path) == restricted
    assert mode == oct(stat.S_IFDIR | 0o700)
    assert not os.path.exists(path)


def test_a_tree_deeper_than_any_stack_goes_too() -> None:
    body = """
        os.chdir(os.environ['HOME'])
        for _ in range(3000):
            os.mkdir('d')
            os.chdir('d')
        return os.environ['HOME']
    """
    assert not os.path.exists(attempt_inside(body).got)


def test_what_a_dead_run_left_is_swept_and_what_lives_stays(restricted: str) -> None:
    os.makedirs(os.path.join(restricted, "dead", "folder"), exist_ok=True)
    body = """
        return os.path.isdir(os.environ['HOME'])
    """
    assert attempt_inside(body).got is True
    assert not os.path.exists(os.path.join(restricted, "dead"))


def test_a_granted_folder_means_what_the_grant_says(home: str) -> None:
    read, write = "return open(target + '/.ssh/id').read()", "open(target + '/new', 'w'); return True"
    for writable in (False, True):
        folders = [Folder(home, home, writable)]
        assert attempt_inside(read, home, folders=folders).got == "secret"
        written = attempt_inside(write, home, folders=folders)
        assert written.got is True if writable else written.refused == "EACCES"


def test_a_link_in_a_granted_folder_leads_nowhere_else(home: str) -> None:
    granted = os.path.join(os.path.dirname(home), "granted")
    os.mkdir(granted, 0o777)
    os.symlink(os.path.join(home, ".ssh", "id"), os.path.join(granted, "link"))
    body = "return open(target + '/link').read()"
    assert attempt_inside(body, granted, folders=[Folder(granted, granted, True)]).refused == "EACCES"
    assert attempt_outside(body, granted).got == "secret"


def test_a_file_behind_a_standard_stream_cannot_be_opened_again(home: str) -> None:
    secret = os.open(os.path.join(home, ".ssh", "id"), os.O_RDONLY)
    program = "import os\ntry:\n os.open('/proc/self/fd/0', os.O_RDWR)\nexcept OSError as e: print(e.errno)"
    try:
        assert run_inside(program, standard={0: secret}).output == b"13\n"
    finally:
        os.close(secret)
