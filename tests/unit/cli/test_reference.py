import hashlib
import json
import os
import shutil

import pytest

import mcp_client
from mcp_client.cli.reference import REFERENCE

EMBEDDED = os.path.join(os.path.dirname(mcp_client.__file__), "embedded", "packages")

HELLO = "acme/hello-world@1.2.3"


@pytest.mark.parametrize("command", ["run", "pull", "info"])
@pytest.mark.parametrize("label", ["", "@latest", "@^1", "@1.2"])
def test_the_hint_for_a_mutable_reference_names_what_there_is(command, label, call):
    called = call(command, f"acme/hello-world{label}")

    assert called.status == (125 if command == "run" else 2)
    assert called.stdout == ""
    error, hint = called.stderr.splitlines()
    assert error.startswith("mcp: error[reference-mutable]: ")
    assert hint == f"  hint: name an exact version, such as {HELLO}"


def test_versions_are_those_of_the_registry_that_is_asked(call, tmp_path):
    folder = tmp_path / "registry" / "packages" / "acme" / "hello-world"
    folder.mkdir(parents=True)
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1"):
        (folder / f"{version}.json").write_text("{}")

    called = call("info", "acme/hello-world", "--registry", f"file://{tmp_path}/registry")

    named = called.stderr.partition("such as ")[2].split()
    assert named == [f"acme/hello-world@{version}" for version in ("1.10.0", "1.10.0-rc.1", "1.9.0")]


def publish(folder, version):
    """The embedded package in another version."""
    shutil.copytree(EMBEDDED, folder / "packages")
    here = folder / "packages" / "acme" / "hello-world"
    manifest = json.loads((here / "1.2.3" / "manifest.json").read_bytes())
    data = json.dumps({**manifest, "version": version}).encode()
    (here / "1.2.3" / "manifest.json").write_bytes(data)
    answer = json.loads((here / "1.2.3.json").read_bytes())
    answer["manifest"]["digest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    answer["manifest"]["size_bytes"] = len(data)
    answer["version"] = version
    (here / "1.2.3.json").unlink()
    (here / f"{version}.json").write_text(json.dumps(answer))


def test_what_was_resolved_before_is_named_when_the_registry_is_gone(call, tmp_path):
    folder = tmp_path / "registry"
    publish(folder, "7.8.9")
    pulled = call("pull", "acme/hello-world@7.8.9", "--registry", f"file://{folder}")
    assert pulled.status == 0, pulled
    shutil.rmtree(folder)

    asked = call("info", "acme/hello-world@latest", "--registry", f"file://{folder}")
    elsewhere = call("info", "acme/hello-world@latest", "--registry", f"file://{folder}2")

    assert "such as acme/hello-world@7.8.9" in asked.stderr
    assert "7.8.9" not in elsewhere.stderr


def test_a_package_nobody_knows_has_the_plain_hint(call):
    assert "such as nobody/x@1.2.3" in call("info", "nobody/x").stderr


def test_a_broken_configuration_does_not_hide_what_is_wrong_with_the_reference(call, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("nonsense: true\n")

    assert "reference-mutable" in call("--config", str(config), "info", "acme/x@latest").stderr


def test_a_parsed_reference_stays_what_it_is():
    parsed = REFERENCE.convert(HELLO, None, None)

    assert REFERENCE.convert(parsed, None, None) is parsed
