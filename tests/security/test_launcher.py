"""Trees, entrypoints and grants that are made to mislead the launcher."""

import errno
import os
import subprocess

import pytest
from arena.host import PRIVATE
from arena.programs import PROGRAM
from arena.sandbox import attempt_inside, run_command

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.runtimes.command import Command


@pytest.mark.parametrize("change", ["removed", "linked out", "a folder", "not executable"])
def test_an_entrypoint_that_is_exchanged_after_the_check_is_not_run(change: str, place: str) -> None:
    tree, program = os.path.join(place, "wanted"), os.path.join(place, "wanted", PROGRAM)
    outside = os.path.join(place, "private", "secret")
    with open(outside, "w", encoding="ascii") as script:
        script.write("#!/bin/sh\necho ran\n")
    os.chmod(outside, 0o755)
    assert subprocess.check_output([outside]) == b"ran\n"
    command = Command((f"/bundle/{PROGRAM}",), (), ())
    os.rename(outside, program)
    assert run_command(command, tree=tree).output == b"ran\n"
    os.rename(program, outside)
    if change == "linked out":
        os.symlink(outside, program)
    elif change == "a folder":
        os.mkdir(program, 0o755)
    elif change == "not executable":
        os.close(os.open(program, os.O_CREAT | os.O_WRONLY, 0o644))
    with pytest.raises(MCPError) as refused:
        run_command(command, tree=tree)
    assert refused.value.code in {"entrypoint-missing", "entrypoint-not-executable"}


@pytest.mark.parametrize("to", ["/etc", "/", "..", "/proc/self/root", "/dev"])
def test_a_link_in_a_grant_does_not_redirect_another_grant(to: str, place: str) -> None:
    """The second is to appear inside the first, where somebody put a link in its way."""
    os.symlink(to, os.path.join(place, "wanted", "link"))
    outer = Folder(os.path.join(place, "wanted"), "/mnt/outer", False)
    inner = Folder(os.path.join(place, "private"), "/mnt/outer/link", False)
    with pytest.raises(MCPError) as refused:
        attempt_inside("return 1", folders=[outer, inner])
    assert "could not build the root" in refused.value.message
    below = inner._replace(inside="/mnt/outer/below")
    shown = attempt_inside(
        "return int(open(target).read())", "/mnt/outer/below/secret", folders=[outer, below]
    )
    assert shown.got == PRIVATE


@pytest.mark.parametrize("name", ["etc", "usr", "proc", "dev", "tmp", "bundle", "lib64"])
def test_a_tree_with_the_names_of_the_system_changes_nothing_of_it(name: str, place: str) -> None:
    tree = os.path.join(place, "wanted")
    os.symlink("/", os.path.join(tree, name))
    os.symlink("..", os.path.join(tree, "up"))
    # What the link leads to is the sandbox's own root, and above it there is nothing.
    listed = f"return [sorted(os.listdir('/bundle/{name}')), sorted(os.listdir('/bundle/up'))]"
    root = attempt_inside("return sorted(os.listdir('/'))", tree=tree).got
    assert attempt_inside(listed, tree=tree).got == [root, root]


@pytest.mark.parametrize(
    "target", ["/bundle/x", "/usr/x", "/etc/x", "/proc/x", "/dev/shm", "/sys", "/run/x", "/bin", "/"]
)
def test_a_grant_over_the_sandboxs_own_places_is_refused(target: str, place: str) -> None:
    with pytest.raises(MCPError) as refused:
        attempt_inside("return 1", folders=[Folder(place, target, True)])
    assert refused.value.code == "mount-refused"


def test_a_bundle_that_is_written_to_meanwhile_is_still_only_read(place: str) -> None:
    """The server finds the same folder in two places, and the strict one stays strict."""
    tree = os.path.join(place, "wanted")
    body = """
        with open('/mnt/again/made', 'w') as file:
            file.write('x')
        os.chmod(file.name, 0o666)
        return open('/bundle/made', 'a').write('x')
    """
    assert attempt_inside(body, tree=tree, folders=[Folder(tree, "/mnt/again", True)]).refused == "EROFS"


def test_a_hard_link_does_not_carry_from_a_read_only_grant_to_a_writable_one(place: str) -> None:
    folders = [
        Folder(os.path.join(place, "private"), "/mnt/kept", False),
        Folder(os.path.join(place, "wanted"), "/mnt/open", True),
    ]
    for call in ("link", "rename"):
        body = f"os.{call}(target[0] + '/secret', target[1] + '/taken'); return True"
        refused = attempt_inside(body, ("/mnt/kept", "/mnt/open"), folders=folders).refused
        assert refused in {errno.errorcode[errno.EXDEV], errno.errorcode[errno.EROFS]}
    os.link(os.path.join(place, "private", "secret"), os.path.join(place, "wanted", "taken"))
