"""Files and sockets of the host: whatever way is taken, they are not there."""

from collections.abc import Mapping

import pytest
from arena.attacks import Attack, Program, check, identify, table

ATTACKS = table(
    Program("files/reach.c"),
    """
    read-plainly                    ENOENT          got=424242
    read-by-own-root                ENOENT          got=424242
    read-by-thread-root             ENOENT          got=424242
    read-by-task-root               ENOENT          got=424242
    read-by-parents-root            EACCES          got=424242
    read-by-working-folder          ENOENT          got=424242
    read-by-dots                    ENOENT          got=424242
    read-above-root                 ENOENT          got=424242
    read-by-symlink                 ENOENT          got=424242
    read-by-hard-link               ENOENT          got=424242
    read-by-chdir                   ENOENT          got=424242
    read-by-descriptors             ENOENT          got=424242
    map-into-memory                 ENOENT          got=424242
    stat-it                         ENOENT          got=7
    list-its-folder                 ENOENT          got
    append-to-it                    ENOENT          got
    make-beside-it                  ENOENT          got
    watch-it                        ENOENT          got
    ask-its-attributes              ENOENT          got
    change-its-mode                 ENOENT          got
    touch-it                        ENOENT          got
    connect-to-a-service            ENOENT          got
    connect-to-an-abstract-service  ECONNREFUSED    got
    open-a-fifo                     ENOENT          got
    see-the-home                    ENOENT          got
    see-shadow                      ENOENT          got
    see-the-machines-files          ENOENT          got
    see-run                         ENOENT          got
    see-sys                         ENOENT          got
    see-var-log                     ENOENT          got
    open-ptmx                       ENOENT          got
    see-terminals                   ENOENT          got
    see-dev-tty                     ENOENT          got
    see-the-hosts-tmp               ENOENT          got
    see-the-hosts-shm               ENOENT          got
    """,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=identify)
def test_the_host_cannot_be_reached_by(attack: Attack, targets: Mapping[str, str]) -> None:
    check(attack, targets)
