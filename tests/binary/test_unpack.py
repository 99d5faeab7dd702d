"""The single file unpacks itself once, whole or not at all, however many start and whenever one is killed."""

import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence

import pytest
from forms import FILE, ROOT, Home, inode


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


START = content(os.path.join(ROOT, "tools", "binary", "start.py"))


def test_it_unpacks_once_and_under_the_digest_of_its_content(home: Home) -> None:
    home.works()
    form = home.form()
    before = inode(form)
    home.works()
    assert inode(home.form()) == before
    assert os.path.basename(form).encode() in content(FILE)[-64:]


def test_twenty_at_once_in_an_empty_cache(home: Home) -> None:
    running = [home.start("--version") for _ in range(20)]
    for process in running:
        stdout, stderr = process.communicate(b"", timeout=120)
        assert (process.returncode, stderr) == (0, b""), stderr
        assert stdout.startswith(b"mcp-client ")
    home.form()


def caught_unpacking(home: Home, number: signal.Signals) -> subprocess.Popen[bytes]:
    """A process that got signal ``number`` while it unpacked."""
    for _ in range(50):
        running = home.start("--version")
        # A form in work has its folder and not yet its name.
        while running.poll() is None and not any(name.startswith("new-") for name in home.forms()):
            time.sleep(0)
        running.send_signal(number)
        if number == signal.SIGKILL:
            running.wait()
        if home.forms() and all(name.startswith("new-") for name in home.forms()):
            return running
        running.kill()
        running.communicate()
        shutil.rmtree(home.place, ignore_errors=True)
    pytest.fail("it was always faster")


def test_killed_while_it_unpacks(home: Home) -> None:
    caught_unpacking(home, signal.SIGKILL).communicate()
    home.works()
    home.form()


def test_stopped_while_it_unpacks_keeps_no_other_waiting_for_ever(home: Home) -> None:
    with caught_unpacking(home, signal.SIGSTOP) as stopped:
        home.works()
        assert any(len(name) == 64 for name in home.forms())
        stopped.send_signal(signal.SIGCONT)
        stdout, stderr = stopped.communicate(b"", timeout=60)
        assert stdout.startswith(b"mcp-client "), stderr
    home.works()
    home.form()


@pytest.mark.parametrize("seed", range(3))
def test_first_starts_of_which_most_are_killed_at_any_moment(home: Home, seed: int) -> None:
    """An unpacking takes about half a second; whoever is left finishes the work, once."""
    chance = random.Random(seed)
    running = [home.start("--version") for _ in range(8)]
    for process in running[:5]:
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
    for process in running:
        stdout, stderr = process.communicate(b"", timeout=120)
        if process.returncode != -signal.SIGKILL:
            assert (process.returncode, stderr) == (0, b""), stderr
            assert stdout.startswith(b"mcp-client ")
    assert not any(process.returncode == -signal.SIGKILL for process in running[5:])
    home.form()
    home.works()


IDS = "written removed writable emptied renamed added link link-above unknown cut no-lease folder half"


def write(path: str, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(data)


def same_size_and_time(path: str) -> None:
    status = os.stat(path)
    write(path, b"raise SystemExit('tampered')\n")
    os.truncate(path, status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: same_size_and_time(f"{tree}/start.py"),
        lambda tree: os.unlink(f"{tree}/start.py"),
        lambda tree: os.chmod(f"{tree}/start.py", 0o666),
        lambda tree: os.truncate(f"{tree}/start.py", 0),
        lambda tree: os.rename(f"{tree}/licenses", f"{tree}/gone"),
        lambda tree: shutil.copy(f"{tree}/start.py", f"{tree}/lib/added.py"),
        lambda tree: (os.rename(f"{tree}/bin", f"{tree}/b"), os.symlink("b", f"{tree}/bin")),
        lambda tree: (os.rename(tree, f"{tree}2"), os.symlink("tree2", tree)),
        lambda tree: os.unlink(f"{tree}/../identity"),
        lambda tree: os.truncate(f"{tree}/../identity", 1000),
        lambda tree: os.unlink(f"{tree}/../lease"),
        lambda tree: os.chmod(f"{tree}/..", 0o777),
        lambda tree: shutil.rmtree(f"{tree}/lib"),
    ],
    ids=IDS.split(),
)
def test_what_is_not_as_it_was_unpacked_is_unpacked_again(home: Home, damage) -> None:
    home.works()
    tree = f"{home.form()}/tree"
    before = inode(tree)
    damage(tree)
    home.works()
    assert inode(f"{home.form()}/tree") != before
    assert content(f"{tree}/start.py") == START


def test_a_form_in_use_stays_and_an_old_one_goes(home: Home) -> None:
    home.works()
    form = home.form()
    used, old, recent = (os.path.join(home.place, letter * 64) for letter in "abc")
    for other in (used, old, recent):
        shutil.copytree(form, other)
        os.utime(f"{other}/lease", (0, 0))
    os.utime(f"{recent}/lease")
    left = os.path.join(home.place, "new-0123456789abcdef")
    os.mkdir(left, 0o700)
    os.unlink(f"{form}/identity")
    lease = os.open(f"{used}/lease", os.O_RDONLY)
    try:
        fcntl.flock(lease, fcntl.LOCK_SH)
        home.works()
    finally:
        os.close(lease)
    assert [os.path.exists(path) for path in (used, old, recent, left)] == [True, False, True, False]


def test_a_running_program_holds_its_form_and_its_server_holds_nothing(home: Home) -> None:
    with home.start("run", "acme/hello-world@1.2.3") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        running.stdin.flush()
        assert b'"id": 1' in running.stdout.readline()
        lease = f"{home.form()}/lease"
        assert not free(lease)
        held = [pid for pid in descendants(running.pid) if lease in descriptors(pid)]
        running.stdin.close()
        assert running.wait(30) == 0
    assert held == [running.pid]
    assert free(lease)


def free(lease: str) -> bool:
    """Whether nobody holds the lease."""
    with open(lease) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def descendants(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        below = [int(child) for child in children.read().split()]
    return [pid, *(one for child in below for one in descendants(child))]


def descriptors(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    except PermissionError:
        return []


def test_closed_standard_streams_are_not_taken_by_files_of_ours(home: Home) -> None:
    for _ in range(2):
        with home.start("--version", prefix=("sh", "-c", 'exec "$@" 0<&- 2>&-', "sh")) as running:
            stdout, _ = running.communicate(timeout=60)
        assert stdout.startswith(b"mcp-client "), stdout


# Mounts without being root: in a namespace where this user is root. The host's own folders belong to nobody
# there, and so the root is another one, with the system's folders in it.
OWN_ROOT = """
    root=$HOME/root
    mkdir -p "$root" "$TMPDIR" && mount -t tmpfs -o mode=0755 none "$root" || exit 99
    for folder in /usr /bin /sbin /lib /lib64 /etc /dev /proc; do
        if [ -L "$folder" ]; then cp -P "$folder" "$root$folder"
        elif [ -d "$folder" ]; then mkdir "$root$folder" && mount --rbind "$folder" "$root$folder" || exit 99
        fi
    done
    mkdir -p "$root$HOME" "$root/tmp" "$root/var/tmp" && mount --bind "$HOME" "$root$HOME" || exit 99
    touch "$root/mcp" && mount --bind "$MCP" "$root/mcp" || exit 99
"""


def in_namespace(*commands: str) -> tuple[str, ...]:
    """What runs ``/mcp`` in a root of its own after ``commands``, which mount something below ``$root``."""
    script = " && ".join((*commands, 'exec chroot "$root" "$@"'))
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{OWN_ROOT}{script}", "sh")


def confined(home: Home, *commands: str, arguments: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """The outcome of the file in such a root."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return home.run(*arguments, prefix=in_namespace(*commands), file="/mcp", env={"PATH": path, "MCP": FILE})


def test_a_full_disk_is_told_with_the_mend(home: Home) -> None:
    small = [f'mount -t tmpfs -o size=9m,mode=1777 none "$root{place}"' for place in ("/tmp", "/var/tmp")]
    own = (
        'mkdir -p "$root$HOME"',
        'mount -t tmpfs -o size=9m,mode=0700 none "$root$HOME"',
        'mkdir "$root$TMPDIR"',
    )
    done = confined(home, *small, *own, arguments=("run", "a/b@1.0.0"))
    assert (done.returncode, done.stdout) == (125, ""), done
    assert done.stderr.count("No space left on device") == 4, done.stderr
    assert "hint: it takes" in done.stderr


def test_a_read_only_home_has_it_in_the_folder_for_temporary_files(home: Home) -> None:
    mounts = (
        'mount --bind "$TMPDIR" "$root$TMPDIR"',
        'mount -o remount,ro,bind "$root$HOME"',
    )
    first, second = (confined(home, *mounts) for _ in range(2))
    assert first.stdout == second.stdout == home.run().stdout
    assert "Read-only file system" in first.stderr
    assert "unpacked in" in first.stderr
    assert second.stderr == ""
    assert os.listdir(home.temporary) == ["mcp-client-0"]


def test_a_home_where_nothing_may_be_executed(home: Home) -> None:
    done = confined(
        home, 'mount --bind "$TMPDIR" "$root$TMPDIR"', 'mount -o remount,noexec,bind "$root$HOME"'
    )
    assert done.stdout.startswith("mcp-client "), done
    assert f"nothing may be executed in {home.folder}/.cache" in done.stderr
    assert home.forms() == []


def test_neither_home_nor_temporary_folder_may_execute(home: Home) -> None:
    """The folder that TMPDIR names lies in the home, and the next one serves."""
    done = confined(home, 'mount -o remount,noexec,bind "$root$HOME"')
    assert done.stdout.startswith("mcp-client "), done
    assert done.stderr.count("nothing may be executed in") == 2
    assert done.stderr.splitlines()[-1] == "mcp: unpacked in /var/tmp/mcp-client-0/mcp-client/program instead"


def test_a_form_that_cannot_be_written_whole_is_never_used(home: Home) -> None:
    def bound() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    with home.start("run", "a/b@1.0.0", preexec_fn=bound) as running:
        _, stderr = running.communicate(b"", timeout=60)
    assert running.returncode == 125
    assert b"File too large" in stderr
    assert home.forms() == []


def test_a_file_that_may_be_executed_and_not_read_says_so(home: Home) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        file = os.path.join(folder, "mcp")
        shutil.copy(FILE, file)
        os.chmod(file, 0o111)
        # Root reads everything.
        stranger = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")
        done = home.run(file=file, prefix=() if os.geteuid() else stranger)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot read its own file: Permission denied" in done.stderr


@pytest.mark.parametrize("size", [-1, -100, -5_000_000, 300_000])
def test_a_file_that_was_cut_says_so(home: Home, size: int) -> None:
    cut = os.path.join(home.folder, "mcp")
    shutil.copy(FILE, cut)
    os.truncate(cut, size if size > 0 else os.path.getsize(cut) + size)
    done = home.run(file=cut)
    assert (done.returncode, done.stdout) == (1, "")
    assert "damaged" in done.stderr


def test_a_changed_byte_is_noticed_before_anything_is_executed(home: Home) -> None:
    changed = os.path.join(home.folder, "mcp")
    shutil.copy(FILE, changed)
    with open(changed, "r+b") as file:
        file.seek(6_000_000)
        byte = file.read(1)[0]
        file.seek(6_000_000)
        file.write(bytes([byte ^ 1]))
    done = home.run(file=changed)
    assert (done.returncode, done.stdout) == (1, "")
    assert not any(len(name) == 64 for name in home.forms())
