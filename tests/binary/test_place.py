"""Where others could have written, the single file neither unpacks nor executes anything."""

import os
import shutil
import subprocess
from contextlib import suppress

import pytest
from forms import FILE, Home

STRANGER = 12345
MARK = "a stranger's program"


def planted(folder: str) -> str:
    """A form that somebody else made ready below ``folder``, whole but for what it does; its ``start.py``."""
    maker = Home(os.path.join(os.path.dirname(folder), "maker"))
    os.mkdir(maker.folder, 0o700)
    maker.works()
    shutil.copytree(os.path.join(maker.folder, ".cache"), folder, dirs_exist_ok=True)
    (name,) = maker.forms()
    start = os.path.join(folder, "mcp-client", "program", name, "tree", "start.py")
    with open(start, "w") as file:
        file.write(f"print({MARK!r})\n")
    return start


def refused(home: Home, *, why: str) -> None:
    """It says why, takes the folder for temporary files, and works there, silently the next time."""
    first = home.run()
    assert (first.returncode, first.stdout.split()[0]) == (0, "mcp-client"), first
    assert why in first.stderr, first.stderr
    assert "unpacked in" in first.stderr
    assert MARK not in first.stdout
    assert os.listdir(home.temporary) == [f"mcp-client-{os.geteuid()}"]
    second = home.run()
    assert (second.stdout, second.stderr) == (first.stdout, "")


@pytest.mark.parametrize("part", ["mcp-client", "mcp-client/program"])
def test_a_link_is_not_followed(home: Home, part: str) -> None:
    elsewhere = os.path.join(home.folder, "elsewhere")
    os.makedirs(os.path.join(elsewhere, "program"), 0o700)
    path = os.path.join(home.folder, ".cache", part)
    os.makedirs(os.path.dirname(path), 0o700)
    os.symlink(elsewhere, path)
    refused(home, why=f"{part} is not a folder of yours")
    assert os.listdir(elsewhere) == ["program"]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
@pytest.mark.parametrize("part", [".cache", ".cache/mcp-client", ".cache/mcp-client/program"])
def test_a_folder_that_others_can_write_is_not_used(home: Home, part: str, mode: int) -> None:
    path = os.path.join(home.folder, part)
    os.makedirs(path, 0o700)
    os.chmod(path, mode)
    if mode == 0o1777 and part == ".cache" and os.geteuid() == 0:
        # As /tmp is: root's, and nobody can rename what is not theirs.
        home.works()
        return
    refused(home, why="written by others" if part == ".cache" else "only you can write")


def test_nor_is_one_below_such_a_folder(home: Home) -> None:
    shared = os.path.join(home.folder, "shared")
    os.mkdir(shared)
    os.chmod(shared, 0o777)
    done = home.run(env={"XDG_CACHE_HOME": f"{shared}/cache"})
    assert f"{shared} can be written by others" in done.stderr
    assert done.stdout.startswith("mcp-client ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", [".cache", ".cache/mcp-client", ".cache/mcp-client/program"])
def test_what_somebody_else_made_ready_is_not_executed(home: Home, part: str) -> None:
    planted(os.path.join(home.folder, ".cache"))
    give_away(os.path.join(home.folder, part))
    refused(home, why="belongs to another user" if part == ".cache" else "only you can write")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_form_of_somebody_else_is_replaced(home: Home) -> None:
    start = planted(os.path.join(home.folder, ".cache"))
    give_away(os.path.dirname(os.path.dirname(start)))
    home.works()
    with open(start) as file:
        assert MARK not in file.read()


def test_the_attack_works_where_nothing_prevents_it(home: Home) -> None:
    """The planted program is one that would run: what stops it is what the tests above are about."""
    start = planted(os.path.join(home.folder, ".cache"))
    tree = os.path.dirname(start)
    (interpreter,) = os.listdir(os.path.join(tree, "bin"))
    command = [os.path.join(tree, "bin", interpreter), "-I", "-S", "-B", start]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == f"{MARK}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_taken_folder_for_temporary_files_is_not_used(home: Home) -> None:
    os.makedirs(os.path.join(home.folder, ".cache"), 0o700)
    give_away(os.path.join(home.folder, ".cache"))
    taken = os.path.join(home.folder, "tmp", "mcp-client-0")
    os.makedirs(taken, 0o700)
    give_away(taken)
    script = 'for each in /tmp /var/tmp; do mount -t tmpfs -o ro none $each; done; exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", f"exec 9<{FILE}; cd {home.folder}; {script}", "sh")
    done = home.run("run", "a/b@1.0.0", prefix=prefix, file="/proc/self/fd/9")
    assert done.returncode == 125, done
    assert "hint: it takes" in done.stderr


def test_a_cache_on_another_disk_by_a_link_of_the_users_is_fine(home: Home) -> None:
    other = os.path.join(home.folder, "disk")
    os.mkdir(other, 0o700)
    os.symlink(other, os.path.join(home.folder, ".cache"))
    home.works()
    assert os.path.isdir(os.path.join(other, "mcp-client", "program"))


def test_in_a_namespace_that_does_not_know_the_owners_nothing_is_believed(home: Home) -> None:
    """All users it does not know have one id there, and so has whoever has none: a stranger's looks own."""
    start = planted(os.path.join(home.folder, ".cache"))
    done = home.run("run", "a/b@1.0.0", prefix=("unshare", "--user"))
    for place in ("/tmp", "/var/tmp"):
        with suppress(OSError):
            os.rmdir(f"{place}/mcp-client-65534")
    assert (done.returncode, done.stdout) == (125, ""), done
    assert "/ belongs to a user whom this user namespace does not know" in done.stderr
    assert os.path.exists(start)


def test_without_a_home_it_asks_the_user_database(home: Home) -> None:
    done = home.run("--version", env={"HOME": "", "XDG_CACHE_HOME": os.path.join(home.folder, "cache")})
    assert (done.returncode, done.stderr) == (0, ""), done
    assert os.path.isdir(os.path.join(home.folder, "cache", "mcp-client", "program"))


def give_away(path: str) -> None:
    """Give ``path`` and all below it to a stranger."""
    subprocess.run(["chown", "-R", f"{STRANGER}:{STRANGER}", path], check=True)
