"""Tables of attacks: what a program says inside the sandbox, and what it says where a control is missing."""

import functools
import os
import re
from collections.abc import Mapping
from subprocess import PIPE
from subprocess import run as run_process
from typing import NamedTuple

from arena.programs import PROGRAM, interpreter_of, tree_of
from arena.sandbox import python_command, python_runtime, run_command
from mcp_client.policy.model import DEFAULT_LIMITS, Folder, Limits
from mcp_client.runtimes.command import Command

_LINE = re.compile(r"^(\S+) (got|refused): (.*)$", re.MULTILINE)
_TIMEOUT = 250

# Where the positive control runs: as the user without a sandbox, or as root of namespaces made for it.
PLAIN: tuple[str, ...] = ()
NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
NAMESPACES = (*NAMESPACES, "--net", "--ipc", "--uts", "--kill-child")


class Program(NamedTuple):
    """An attack program and how it is started; ``source`` is below the folder of attacks.

    ``control`` prefixes the command for the positive control. ``arguments`` select attempts. ``aims``
    replaces targets inside, ``tree`` the bundle, which must hold the program too.
    """

    source: str
    subprocess: bool = False
    limits: Limits = DEFAULT_LIMITS
    folders: tuple[Folder, ...] = ()
    control: tuple[str, ...] = PLAIN
    arguments: tuple[str, ...] = ()
    aims: tuple[tuple[str, str], ...] = ()
    tree: str | None = None


class Attack(NamedTuple):
    """One attempt of a program and what must be heard inside and outside.

    What is heard is ``got``, ``got=VALUE``, ``got<=NUMBER``, the name of an errno, or ``signal=N``; ``|``
    separates alternatives.
    """

    program: Program
    name: str
    inside: str
    outside: str


def table(program: Program, text: str, *, alone: bool = False) -> list[Attack]:
    """Attacks from lines of three columns: name, inside, outside. ``alone`` gives each a run of its own."""
    found = []
    for line in text.strip().splitlines():
        name, inside, outside = line.split()
        own = program._replace(arguments=(name,)) if alone else program
        found.append(Attack(own, name, inside, outside))
    return found


def identify(attack: Attack) -> str:
    """The test's id."""
    return attack.name


def check(attack: Attack, targets: Mapping[str, str] | None = None) -> None:
    """Assert that the attack works where a control is missing, and that it does not in the sandbox.

    ``targets`` are variables that tell the program what to aim at.
    """
    given = tuple(sorted((targets or {}).items()))
    outside = heard_outside(attack.program, given)
    assert agrees(outside.get(attack.name, outside["end"]), attack.outside), ("outside", attack, outside)
    inside = heard_inside(attack.program, given)
    assert agrees(inside.get(attack.name, inside["end"]), attack.inside), ("inside", attack, inside)


def agrees(heard: str, expected: str) -> bool:
    """Whether one of the alternatives was heard."""
    return any(_is(heard, one) for one in expected.split("|"))


def _is(heard: str, expected: str) -> bool:
    kind, _, value = heard.partition("=")
    if expected.startswith("got<="):
        return kind == "got" and int(value) <= int(expected.removeprefix("got<="))
    return heard == expected or (expected == kind == "got")


@functools.cache
def heard_inside(program: Program, targets: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """What hear_inside() says, once for all attempts of a program."""
    return hear_inside(program, dict(targets))


@functools.cache
def heard_outside(program: Program, targets: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The same where the positive control is."""
    return hear_outside(program, dict(targets))


def hear_inside(
    program: Program, targets: Mapping[str, str], standard: Mapping[int, int] | None = None
) -> Mapping[str, str]:
    """Attempt -> what was heard, from one run in the sandbox; ``end`` tells how the program ended.

    ``standard`` puts descriptors of the host in the place of 0 or 2.
    """
    inside = run_command(
        _command("/bundle", program),
        subprocess=program.subprocess,
        limits=program.limits,
        folders=program.folders,
        environment={**targets, **dict(program.aims)},
        tree=program.tree or tree_of(program.source),
        standard=standard,
    )
    return _heard(inside.output, inside.exit.status, inside.exit.signal, inside.errors)


def hear_outside(
    program: Program, targets: Mapping[str, str], standard: Mapping[int, int] | None = None
) -> Mapping[str, str]:
    """The same where the positive control is."""
    command = _command(tree_of(program.source), program)
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **targets}
    given = standard or {}
    done = run_process(
        [*program.control, *command.argv],
        env=environment,
        stdin=given.get(0),
        stdout=PIPE,
        stderr=given.get(2, PIPE),
        start_new_session=True,
        check=False,
        timeout=_TIMEOUT,
    )
    died = -done.returncode if done.returncode < 0 else None
    return _heard(done.stdout, None if died else done.returncode, died, done.stderr or b"")


def _command(folder: str, program: Program) -> Command:
    path = os.path.join(folder, PROGRAM)
    interpreter = interpreter_of(program.source)
    if interpreter == "python":
        return python_command("-I", path, *program.arguments)
    if interpreter is not None:
        return Command((interpreter, path, *program.arguments), python_runtime().paths, ())
    return Command((path, *program.arguments), (), ())


def _heard(output: bytes, status: int | None, signal: int | None, errors: bytes) -> dict[str, str]:
    text = output.decode(errors="replace")
    found = {}
    for name, kind, value in _LINE.findall(text):
        found[name] = f"got={value}" if kind == "got" else value
    if signal is not None:
        end = f"signal={signal}"
    elif text.endswith("end\n"):
        end = f"status={status}"
    else:
        end = f"status={status} without an end: {text[-500:]} {errors[-500:].decode(errors='replace')}"
    return {**found, "end": end}
