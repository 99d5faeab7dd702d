"""Every control of the sandbox, and how it is switched off."""

from collections.abc import Callable
from typing import NamedTuple

from mutation import calls, hosts, walls


class Mutation(NamedTuple):
    """One control that is missing; ``disables`` says which, ``apply`` takes it away in this process.

    ``tests`` are the files that are likely to notice, ``words`` selects from them as pytest's ``-k`` does.
    ``as_root`` marks what only a launch as root has.
    """

    name: str
    disables: str
    apply: Callable[[], None]
    tests: tuple[str, ...]
    words: str = ""
    as_root: bool = False


MUTATIONS = tuple(
    Mutation(name, disables, apply, tuple(tests.split()), words, name in walls.AS_ROOT)
    for name, disables, apply, tests, words in (*walls.rows(), *calls.rows(), *hosts.rows())
)
