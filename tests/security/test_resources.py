"""Memory of a whole server, and what the kernel counts for each user: a server gets its part and no more."""

import pytest
from arena.attacks import Attack, Program, check, hear_inside, identify, table
from arena.sandbox import SMALL, run_inside

from mcp_client.policy.model import DEFAULT_LIMITS, Folder

# Held until the server is killed; outside only for a moment.
MEMORY = Program("resources/memory.c", subprocess=True, limits=SMALL, aims=(("HOLD", "60000"),))
LARGE = {"MEGABYTES": "200", "HOLD": "0"}

TOO_MUCH = table(
    MEMORY,
    """
    private-memory      ENOMEM|signal=9 got=200
    heap                ENOMEM|signal=9 got=200
    shared-memory       signal=9        got=200
    memory-file         signal=9        got=200
    tmp                 ENOSPC|signal=9 got=200
    dev-shm             ENOSPC|signal=9 got=200
    shared-segment      signal=9        got=200
    detached-segment    signal=9        got=200
    eight-children      signal=9        got=200
    """,
    alone=True,
)

QUOTAS = """
    queued-signals              got<=1024       got=2000
    timers                      got<=1024       got=2000
    inotify-instances           got<=32         got=48
    message-queue               ENOENT|EMFILE   got|ENOSYS
    locked-memory               ENOMEM|EPERM    got
    descriptors                 got<=253        got=400
    ten-gigabytes               EFBIG           got
    ten-gigabytes-by-writing    EFBIG           got
    allow-core-dumps            EPERM           got
    raise-data                  EPERM           got
"""


@pytest.mark.parametrize("attack", TOO_MUCH, ids=identify)
def test_too_much_memory_is_not_to_be_had_as(attack: Attack) -> None:
    check(attack, LARGE)


def test_a_little_memory_is_to_be_had_in_every_way() -> None:
    """The other side of the control: it is the amount that is refused."""
    little = {"MEGABYTES": "2", "HOLD": "0"}
    heard = hear_inside(MEMORY._replace(aims=()), little)
    assert set(heard.values()) == {"got=2", "status=0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of the host that the server may write to."""
    return str(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize("attack", table(Program("resources/quotas.c"), QUOTAS), ids=identify)
def test_of_the_users_quotas_a_part_is_left(attack: Attack, place: str) -> None:
    program = attack.program._replace(
        folders=(Folder(place, "/mnt/place", True),), aims=(("PLACE", "/mnt/place"),)
    )
    check(attack._replace(program=program), {"PLACE": place})


def test_the_processor_is_shared_as_agreed() -> None:
    """A fifth of a core; half of one is the bound, since time is measured and taken in slices."""
    program = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    usage = run_inside(program, limits=DEFAULT_LIMITS._replace(cpu=200)).exit.usage
    assert usage.user_seconds + usage.system_seconds < 0.75
