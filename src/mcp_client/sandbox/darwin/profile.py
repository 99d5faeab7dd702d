"""The Seatbelt profile of one server: its text, and the values that stand outside of it.

No path of the host is ever part of the text: all of them are parameters (``sandbox-exec -D``), so that there
is nothing to quote and nothing that a hostile name could close. The later of two rules that match holds. An
operation that is named without a filter would match everything, so a rule whose list of filters is empty is
left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mcp_client.sandbox.darwin import vocabulary


class World(NamedTuple):
    """What a server may reach: canonical paths of files and of folders with all that is below them.

    ``programs`` are the only files it may execute without ``subprocess``; with it, whatever is readable is.
    Of the network there is the port of a ``proxy`` on loopback to connect to, and a ``port`` to listen on.
    """

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    programs: tuple[str, ...]
    subprocess: bool
    executable_scratch: bool
    proxy: int | None = None
    port: int | None = None


class Profile(NamedTuple):
    """A profile's text and its parameters by name."""

    text: str
    parameters: dict[str, str]

    def wrap(self, launcher: str, command: Sequence[str]) -> list[str]:
        """The arguments of sandbox-exec(1), ``launcher``, that execute ``command`` inside."""
        definitions = [part for name, value in self.parameters.items() for part in ("-D", f"{name}={value}")]
        return [launcher, "-p", self.text, *definitions, "--", *command]


def build_profile(world: World) -> Profile:
    """The profile of one world."""
    parameters = dict(
        [
            *_numbered("READ", world.readable),
            *_numbered("WRITE", world.writable),
            *_numbered("PROGRAM", world.programs),
            *_numbered("ABOVE", _ancestors((*world.readable, *world.writable, *world.programs))),
        ]
    )
    rules = (
        *vocabulary.START,
        *_files(world, parameters),
        *_processes(world, parameters),
        *vocabulary.SYSTEM,
        *_network(world),
    )
    return Profile("\n".join(rules) + "\n", parameters)


def _files(world: World, parameters: Iterable[str]) -> Iterator[str]:
    names = list(parameters)
    yield from vocabulary.FILES
    yield from _rule("allow", "file-read-metadata", _by("literal", names, "ABOVE_"))
    yield from _rule("allow", "file-read*", _by("subpath", names, "READ_", "PROGRAM_"))
    yield from _rule("allow", "file-map-executable", _by("subpath", names, "READ_", "PROGRAM_"))
    yield from _rule("allow", "file-read* file-write*", _by("subpath", names, "WRITE_"))
    if world.executable_scratch:
        yield from _rule("allow", "file-map-executable", _by("subpath", names, "WRITE_"))
    yield from vocabulary.NEVER_WRITTEN


def _processes(world: World, parameters: Iterable[str]) -> Iterator[str]:
    names = list(parameters)
    if world.subprocess:
        yield from vocabulary.PROCESSES
        yield from _rule("allow", "process-exec*", _by("subpath", names, "READ_", "PROGRAM_"))
        yield from _rule("allow", "process-exec*", vocabulary.SYSTEM_PROGRAMS)
        if world.executable_scratch:
            yield from _rule("allow", "process-exec*", _by("subpath", names, "WRITE_"))
    else:
        yield from vocabulary.ONE_PROCESS
        yield from _rule("allow", "process-exec*", _by("literal", names, "PROGRAM_"))


def _network(world: World) -> Iterator[str]:
    yield "(deny network*)"
    if world.proxy is not None:
        yield f'(allow network-outbound (remote ip "localhost:{world.proxy:d}"))'
    if world.port is not None:
        yield f'(allow network-bind (local ip "localhost:{world.port:d}"))'
        yield f'(allow network-inbound (local ip "localhost:{world.port:d}"))'


def _rule(verdict: str, operations: str, filters: Iterable[str]) -> Iterator[str]:
    listed = list(filters)
    if listed:
        yield "\n".join([f"({verdict} {operations}", *(f"  {one}" for one in listed)]) + ")"


def _by(kind: str, names: Iterable[str], *prefixes: str) -> Iterator[str]:
    return (f'({kind} (param "{name}"))' for name in names if name.startswith(prefixes))


def _numbered(prefix: str, values: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((f"{prefix}_{index}", value) for index, value in enumerate(dict.fromkeys(values)))


def _ancestors(paths: Iterable[str]) -> list[str]:
    """The folders above: programs look at each on the way when they resolve a path."""
    found: dict[str, None] = {}
    for path in paths:
        above = path.rpartition("/")[0]
        while above:
            found[above] = None
            above = above.rpartition("/")[0]
    return sorted(found)
