"""What may only be read stays as it is, whatever call is used to change it."""

import os
import shutil
from collections.abc import Iterator

import pytest
from arena.attacks import Attack, Program, check, identify, table
from arena.host import public_folder
from arena.programs import PROGRAM, tree_of

from mcp_client.policy.model import Folder

CHANGES = """
    open-for-writing            EROFS           got
    open-truncating             EROFS           got
    truncate                    EROFS           got
    create                      EROFS           got
    nameless-file               EROFS           got
    make-a-folder               EROFS           got
    make-a-fifo                 EROFS           got
    symlink                     EROFS           got
    hard-link                   EROFS           got
    chmod                       EROFS           got
    utime                       EROFS           got
    chown                       EROFS           got
    set-attribute               EROFS           got|EOPNOTSUPP
    rename                      EROFS           got
    exchange                    EROFS           got
    unlink                      EROFS           got
    write-through-a-descriptor  EROFS           got
    chmod-through-a-descriptor  EROFS           got
    set-flags                   EROFS|ENOTTY    got|ENOTTY|EOPNOTSUPP
    map-for-writing             EROFS           got
    listen-at-a-path            EROFS           got
    chmod-the-folder            EROFS           got
"""
BUNDLE = Program("files/change.c", aims=(("PLACE", "/bundle"),))
GRANT = Program("files/change.c", aims=(("PLACE", "/mnt/kept"),))


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A folder of the host that everybody may change: the program, and one file."""
    with public_folder("/tmp") as folder:
        with open(os.path.join(folder, "file"), "w", encoding="ascii") as file:
            file.write("kept\n")
        os.chmod(file.name, 0o666)
        shutil.copy(os.path.join(tree_of(BUNDLE.source), PROGRAM), folder)
        yield folder


@pytest.mark.parametrize("attack", table(BUNDLE, CHANGES), ids=identify)
def test_the_bundle_is_not_changed_by(attack: Attack, place: str) -> None:
    bundled = attack.program._replace(tree=place)
    check(attack._replace(program=bundled), {"PLACE": place, "NAME": "file"})


@pytest.mark.parametrize("attack", table(GRANT, CHANGES), ids=identify)
def test_a_read_only_grant_is_not_changed_by(attack: Attack, place: str) -> None:
    granted = attack.program._replace(folders=(Folder(place, "/mnt/kept", False),))
    check(attack._replace(program=granted), {"PLACE": place, "NAME": "file"})
