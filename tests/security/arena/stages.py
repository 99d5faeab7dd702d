"""The stages of a launch, read from the source, and ways to fail or to stop in each of them."""

import ast
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mcp_client.sandbox import channel
from mcp_client.sandbox.linux import init, server

# Only a launch as root passes through these.
ROOT_ONLY = frozenset({"map granted folders", "leave the host's groups"})


class Stage(NamedTuple):
    """One ``with step("...")``: the ``occurrence``-th of that name in the order of the source, from 1."""

    name: str
    occurrence: int
    in_server: bool


def stages() -> list[Stage]:
    """Every stage that this user's launches pass, in order."""
    found: list[Stage] = []
    for module in (init, server):
        assert module.__file__ is not None
        with open(module.__file__, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        calls = [
            node.context_expr
            for statement in ast.walk(tree)
            if isinstance(statement, ast.With)
            for node in statement.items
            if isinstance(node.context_expr, ast.Call) and ast.unparse(node.context_expr.func) == "step"
        ]
        for call in sorted(calls, key=lambda one: one.lineno):
            name = ast.literal_eval(call.args[0])
            before = sum(stage.name == name for stage in found)
            found.append(Stage(name, before + 1, module is server))
    return [stage for stage in found if os.geteuid() == 0 or stage.name not in ROOT_ONLY]


def identify(stage: Stage) -> str:
    """The test's id."""
    return stage.name if stage.occurrence == 1 else f"{stage.name} ({stage.occurrence})"


@contextmanager
def entering(stage: Stage, action: Callable[[], None]) -> Iterator[None]:
    """While this lasts, the forked children of a launch take ``action`` at the beginning of ``stage``."""
    seen = 0
    original = channel.step.__enter__

    def enter(self: channel.step) -> None:
        nonlocal seen
        original(self)
        if self._stage == stage.name:
            seen += 1
            if seen == stage.occurrence:
                action()

    channel.step.__enter__ = enter  # type: ignore[method-assign]
    try:
        yield
    finally:
        channel.step.__enter__ = original  # type: ignore[method-assign]


@contextmanager
def failing(stage: Stage) -> Iterator[None]:
    """``stage`` fails before it does anything."""

    def fail() -> None:
        raise channel.StepError(stage.name, OSError(5, "injected"))

    with entering(stage, fail):
        yield


@contextmanager
def stopping(stage: Stage, line: int) -> Iterator[None]:
    """``stage`` says so on the socket ``line`` and waits there for a word, or stops where that is closed."""

    def stop() -> None:
        try:
            os.write(line, b"reached")
            os.read(line, 1)
        except OSError:
            # Descriptors are closed by now; pid 1 of a namespace never gets here.
            os.kill(os.getpid(), signal.SIGSTOP)

    with entering(stage, stop):
        yield
