"""What a server starts from: its package's tree, or what was compiled of it for this very interpreter."""

from __future__ import annotations

import sys

from mcp_client.cache.compiled import find_compiled
from mcp_client.light import TYPE_CHECKING, NamedTuple, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from mcp_client.app import App
    from mcp_client.cache.store import CachedPackage
    from mcp_client.runtimes.command import Interpreter

    Language = Literal["python", "node"]

# Of this program: another one may compile in another way.
_FORMAT = "1"
_PYTHON = ("python", "pypy")
_NODE = ("node", "nodejs")
# Modules have a compile cache since then, which Node itself says when it is left.
_NODE_SINCE = (22, 10)
# Who sets one of these has something else in mind with what is compiled.
_OWN_WAYS = frozenset(
    ("NODE_COMPILE_CACHE", "NODE_DISABLE_COMPILE_CACHE", "NODE_OPTIONS", "PYTHONPYCACHEPREFIX")
)


class Recipe(NamedTuple):
    """How to compile a package: ``key`` names one interpreter, and all else the outcome depends on."""

    language: Language
    key: str
    interpreter: Interpreter


class Compiled(NamedTuple):
    """The ``tree`` to start from, the compile cache for Node, and a descriptor that keeps both.

    With a ``recipe`` it is time to compile, and nothing was found.
    """

    tree: str
    node_cache: str | None = None
    hold: int = -1
    recipe: Recipe | None = None


def find_form(
    app: App, package: CachedPackage, interpreter: Interpreter | None, variables: Iterable[str]
) -> Compiled:
    """What there is for this package and ``interpreter``; ``variables`` are the names of all it will have."""
    recipe = None
    # Nobody has tried it elsewhere.
    wanted = sys.platform == "linux" and app.settings.executor.compile
    if wanted and interpreter is not None and _OWN_WAYS.isdisjoint(variables):
        recipe = _recipe(app, package, interpreter)
    if recipe is None:
        return Compiled(package.tree)
    found = find_compiled(app.cache, package.resolution.bundle.digest, recipe.key)
    if found.folder is None:
        return Compiled(package.tree, recipe=recipe if found.wanted else None)
    if recipe.language == "python":
        return Compiled(found.folder, hold=found.hold)
    return Compiled(package.tree, found.folder, found.hold)


def _recipe(app: App, package: CachedPackage, interpreter: Interpreter) -> Recipe | None:
    runtime = interpreter.runtime
    version = ".".join(map(str, runtime.version))
    facts = [_FORMAT, runtime.executable, version, runtime.identity]
    # Patterns would be compiled at each start.
    if interpreter.name.rstrip("0123456789.") in _PYTHON:
        return _keyed("python", facts, interpreter)
    if interpreter.name in _NODE and runtime.version >= _NODE_SINCE:
        # Here the server is executed: another manifest, a stranger's for the same bundle, could let it do
        # anything with what comes out. And Node finds what it compiled by the path of the source.
        facts += [str(package.resolution.manifest.digest), app.backend.bundle_path(package.tree)]
        return _keyed("node", facts, interpreter)
    return None


def _keyed(language: Language, facts: Iterable[str], interpreter: Interpreter) -> Recipe:
    digest = sha256("\0".join([language, *facts]).encode(errors="surrogateescape")).hexdigest()
    return Recipe(language, f"{language}-{digest[:32]}", interpreter)
