"""What is imported from a module is there when it runs, on every platform: type checkers see more than that.

A name that a module has for type checkers only (TYPE_CHECKING) cannot be imported. On the platform at hand
any test would show it, for the launchers of the others only this one does.
"""

import ast
import os
from collections.abc import Iterable, Iterator

import mcp_client

SOURCE = os.path.dirname(os.path.abspath(mcp_client.__file__))


def modules() -> Iterator[tuple[str, str]]:
    """(dotted name, path); the embedded server is a bundle's content."""
    for folder, folders, files in os.walk(SOURCE):
        folders[:] = [name for name in folders if name not in {"__pycache__", "embedded"}]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, os.path.dirname(SOURCE))[:-3].replace(os.sep, ".")
                yield dotted.removesuffix(".__init__"), path


def run(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below ``body`` but those that only type checkers see."""
    for node in body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from run(node.orelse)
        else:
            yield node
            yield from run(ast.iter_child_nodes(node))


def bound(tree: ast.Module) -> set[str]:
    """Every name that the module binds anywhere in it."""
    names: set[str] = set()
    for node in run(tree.body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def missing(trees: dict[str, ast.Module]) -> list[str]:
    """What is imported and not there."""
    has = {name: bound(tree) for name, tree in trees.items()}
    return [
        f"{name} imports {alias.name} of {node.module}"
        for name, tree in trees.items()
        for node in run(tree.body)
        if isinstance(node, ast.ImportFrom) and node.module in has
        for alias in node.names
        if alias.name not in has[node.module] and f"{node.module}.{alias.name}" not in has
    ]


def test_what_is_imported_is_there() -> None:
    trees = {}
    for name, path in modules():
        with open(path, encoding="utf-8") as file:
            trees[name] = ast.parse(file.read())
    assert missing(trees) == []


def test_a_name_for_type_checkers_would_be_noticed() -> None:
    spec = ast.parse("if TYPE_CHECKING:\n    Happening = str\nelse:\n    Other = str\n")
    user = ast.parse("def late():\n    from a.spec import Happening, Other\n")
    assert missing({"a.spec": spec, "a.user": user}) == ["a.user imports Happening of a.spec"]
