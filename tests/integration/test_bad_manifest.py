"""Manifests that arrive as promised and are wrong: the message names the place, and nothing is kept."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kit import programs
from kit.bundle import Package
from kit.command import Mcp, refused
from kit.registry import Registry

from mcp_client import platforms

ONE = programs.single()
HERE = platforms.current()


def changed(change: Callable[[dict[str, Any]], object]) -> Package:
    form = json.loads(ONE.manifest)
    change(form)
    return ONE._replace(manifest=json.dumps(form).encode())


def run_refused(mcp: Mcp, registry: Registry, package: Package, code: str) -> str:
    registry.publish(package)
    result = mcp.run("run", package.reference)
    refused(result, code)
    assert mcp.cached() == []
    assert registry.requests("bundle") == [], "a bundle was fetched for a manifest that is refused"
    return result.stderr


NO_OBJECTS = {
    "empty": b"",
    "words": b"not json",
    "list": b"[]",
    "not-text": b"\xff\xfe\x00",
    "deep": b"[" * 200_000,
    "twice": ONE.manifest.replace(b'"license"', b'"name": "test/single", "license"'),
    "nan": ONE.manifest.replace(b'"license": "MIT"', b'"license": NaN'),
}


@pytest.mark.parametrize("name", NO_OBJECTS)
def test_a_manifest_that_is_no_json_object(mcp: Mcp, registry: Registry, name: str) -> None:
    run_refused(mcp, registry, ONE._replace(manifest=NO_OBJECTS[name]), "manifest-invalid")


@pytest.mark.parametrize("field", ["name", "version", "entrypoints", "transport"])
def test_a_missing_field_is_named(mcp: Mcp, registry: Registry, field: str) -> None:
    assert field in run_refused(mcp, registry, changed(lambda form: form.pop(field)), "manifest-invalid")


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "args": (lambda form: form["entrypoints"][HERE].update(args="one string"), f"entrypoints.{HERE}.args"),
    "argument": (lambda form: form["entrypoints"][HERE].update(args=[1]), f"entrypoints.{HERE}.args"),
    "nul": (lambda form: form["entrypoints"][HERE].update(args=["a\0b"]), f"entrypoints.{HERE}.args"),
    "memory": (lambda form: form["resources"].update(memory_mb="lots"), "resources.memory_mb"),
    "negative": (lambda form: form["resources"].update(max_fds=-1), "resources.max_fds"),
    "subprocess": (lambda form: form.update(subprocess="yes"), "subprocess"),
    "network": (lambda form: form["network"].update(allowlist=["http://x/y"]), "network.allowlist"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_the_wrong_type_is_named_by_its_path(mcp: Mcp, registry: Registry, name: str) -> None:
    change, path = WRONG[name]
    assert path in run_refused(mcp, registry, changed(change), "manifest-invalid")


def test_no_entrypoint_for_this_platform(mcp: Mcp, registry: Registry) -> None:
    def elsewhere(form: dict[str, Any]) -> None:
        form["entrypoints"] = {"plan9-mips": form["entrypoints"][HERE]}

    text = run_refused(mcp, registry, changed(elsewhere), "platform-unsupported")
    assert HERE in text
    assert "plan9-mips" in text


def test_another_package_inside(mcp: Mcp, registry: Registry) -> None:
    run_refused(mcp, registry, changed(lambda form: form.update(name="test/other")), "manifest-mismatch")


def test_another_version_inside(mcp: Mcp, registry: Registry) -> None:
    run_refused(mcp, registry, changed(lambda form: form.update(version="9.9.9")), "manifest-mismatch")
