"""From a reference to a package that is ready, whatever an earlier release or a failed run left behind."""

import os
from collections.abc import Iterator

import pytest

from mcp_client.acquire import acquire, describe
from mcp_client.app import App
from mcp_client.errors import MCPError
from mcp_client.manifest.model import Manifest, from_form, is_current
from mcp_client.reference import parse_reference

HELLO = parse_reference("acme/hello-world@1.2.3")


@pytest.fixture
def app(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("MCP_HOME", os.path.join(tmp_path, "home"))
    made = App()
    yield made
    made.close()


def offline(app: App) -> App:
    return app.with_overrides({"offline": "on"})


def _refuse(code: str) -> object:
    def accept(_manifest: Manifest, tree: str | None) -> None:
        if tree is not None:
            raise MCPError(code, "no", hint="none")

    return accept


def test_a_form_of_another_release_is_made_anew_without_a_network(app: App) -> None:
    package = acquire(app, HELLO)
    app.cache.resolutions.record(package.resolution, {"form": 0, "name": "as it was then"})
    again = acquire(offline(app), HELLO)
    assert is_current(again.manifest_form)
    assert from_form(again.manifest_form).name == "acme/hello-world"
    kept = app.cache.find(HELLO, "embedded")
    assert kept is not None
    assert from_form(kept.manifest_form) == from_form(again.manifest_form)


def test_offline_needs_the_cache(app: App) -> None:
    with pytest.raises(MCPError) as caught:
        acquire(offline(app), HELLO)
    assert caught.value.code == "offline-missing"
    acquire(app, HELLO)
    assert acquire(offline(app), HELLO).resolution.reference == HELLO
    assert describe(offline(app), HELLO).cached is True


@pytest.mark.parametrize(("code", "stays"), [("entrypoint-missing", 0), ("registry-unavailable", 3)])
def test_only_a_refusal_takes_back_what_was_stored(app: App, code: str, stays: int) -> None:
    with pytest.raises(MCPError):
        acquire(app, HELLO, accept=_refuse(code))  # type: ignore[arg-type]
    assert len(app.cache.entries()) == stays


def test_a_refusal_takes_nothing_from_another_reference(app: App) -> None:
    acquire(app, HELLO)
    before = app.cache.entries()
    twin = parse_reference(f"acme/hello-world@digest:{describe(app, HELLO).resolution.manifest.digest}")
    with pytest.raises(MCPError):
        acquire(app, twin, accept=_refuse("entrypoint-missing"))  # type: ignore[arg-type]
    assert len(app.cache.entries()) == len(before)
    assert acquire(offline(app), HELLO).tree
