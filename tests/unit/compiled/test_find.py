"""For whom something was compiled: one interpreter exactly, and for Node one manifest."""

import os
from collections.abc import Iterator

import pytest

from mcp_client.acquire import acquire
from mcp_client.app import App
from mcp_client.compiled.find import find_form
from mcp_client.digest import Digest
from mcp_client.reference import parse_reference
from mcp_client.runtimes.command import Interpreter
from mcp_client.runtimes.find import Runtime

HELLO = parse_reference("acme/hello-world@1.2.3")
PYTHON = Interpreter("python3", Runtime("/usr/bin/python3", (3, 11, 2), (), "1 2 3 /usr/bin/python3.11"))
NODE = Interpreter("node", Runtime("/usr/bin/node", (22, 20, 0), (), "1 2 3 /usr/bin/node"))


@pytest.fixture
def app(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("MCP_HOME", os.path.join(tmp_path, "home"))
    made = App()
    yield made
    made.close()


def key(app: App, interpreter: Interpreter | None, variables: tuple[str, ...] = ()) -> str | None:
    package = acquire(app, HELLO)
    recipe = find_form(app, package, interpreter, variables).recipe
    return None if recipe is None else recipe.key


def changed(interpreter: Interpreter, **fields: object) -> Interpreter:
    return interpreter._replace(runtime=interpreter.runtime._replace(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("interpreter", [PYTHON, NODE])
@pytest.mark.parametrize(
    "fields",
    [
        {"executable": "/usr/local/bin/other"},
        {"version": (22, 20, 1)},
        {"identity": "1 2 4 /usr/bin/python3.11"},
    ],
    ids=["path", "version", "file"],
)
def test_another_interpreter_is_another_key(
    app: App, interpreter: Interpreter, fields: dict[str, object]
) -> None:
    assert key(app, interpreter) == key(app, interpreter)
    assert key(app, changed(interpreter, **fields)) != key(app, interpreter)


def test_languages_differ(app: App) -> None:
    assert key(app, PYTHON) != key(app, NODE._replace(runtime=PYTHON.runtime._replace(version=(22, 20))))


@pytest.mark.parametrize(
    "interpreter",
    [
        None,
        Interpreter("ruby", PYTHON.runtime),
        Interpreter("python-argcomplete", PYTHON.runtime),
        changed(NODE, version=(22, 9, 0)),
        changed(NODE, version=(20, 20, 2)),
        changed(NODE, version=()),
    ],
)
def test_others_are_not_compiled(app: App, interpreter: Interpreter | None) -> None:
    assert key(app, interpreter) is None


@pytest.mark.parametrize("name", ["PYTHONPYCACHEPREFIX", "NODE_OPTIONS", "NODE_COMPILE_CACHE"])
def test_whoever_sets_these_is_left_alone(app: App, name: str) -> None:
    assert key(app, PYTHON, (name,)) is None
    assert key(app, PYTHON, ("PYTHONPATH",)) is not None


def test_the_manifest_counts_for_node_only(app: App) -> None:
    package = acquire(app, HELLO)
    manifest = package.resolution.manifest._replace(digest=Digest("0" * 64))
    other = package._replace(resolution=package.resolution._replace(manifest=manifest))
    for interpreter, same in ((PYTHON, True), (NODE, False)):
        recipes = [find_form(app, each, interpreter, ()).recipe for each in (package, other)]
        assert all(recipes)
        assert (recipes[0] == recipes[1]) is same


def test_it_can_be_switched_off(app: App) -> None:
    executor = app.settings.executor._replace(compile=False)
    package = acquire(app, HELLO)
    app.__dict__["settings"] = app.settings._replace(executor=executor)
    assert find_form(app, package, PYTHON, ()) == (package.tree, None, -1, None)
