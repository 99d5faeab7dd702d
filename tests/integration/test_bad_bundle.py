"""Bundles that arrive as promised and are hostile, and entrypoints that cannot be run."""

import os
import shutil

import pytest
from kit import hostile, processes
from kit.bundle import link, manifest_form, pack, pack_files, package, regular
from kit.command import Mcp, Result, refused
from kit.registry import Registry

REFERENCE = "test/hostile@1.0.0"
UNSAFE = hostile.unsafe()
NO_ARCHIVES = hostile.not_archives()


def run_bundle(
    mcp: Mcp, registry: Registry, bundle: bytes, *command: str, prefix: list[str] | None = None
) -> Result:
    registry.publish(
        package(manifest_form(REFERENCE, *(command or ("python3", "${bundle}/main.py"))), bundle)
    )
    return mcp.run("run", REFERENCE, prefix=prefix or [])


def nothing_kept(mcp: Mcp) -> None:
    assert mcp.cached("bundles", "trees", "staging") == []
    assert "evil" not in str(processes.files_below(mcp.folder))
    assert not os.path.lexists("/tmp/evil")


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_bundle(mcp: Mcp, registry: Registry, name: str) -> None:
    refused(run_bundle(mcp, registry, UNSAFE[name]()), "bundle-unsafe")
    nothing_kept(mcp)


@pytest.mark.parametrize("name", NO_ARCHIVES)
def test_a_bundle_that_is_no_archive(mcp: Mcp, registry: Registry, name: str) -> None:
    refused(run_bundle(mcp, registry, NO_ARCHIVES[name]), "bundle-invalid")
    nothing_kept(mcp)


def test_a_million_entries(mcp: Mcp, registry: Registry) -> None:
    # The default of 100,000 would cost a slow disk half a minute.
    mcp.configure("cache:\n  max_entries: 10000\n")
    refused(run_bundle(mcp, registry, hostile.million_entries()), "bundle-too-large")
    nothing_kept(mcp)


@pytest.mark.parametrize("kind", ["file", "header"])
def test_a_gzip_bomb(mcp: Mcp, registry: Registry, kind: str) -> None:
    """Neither the disk nor, within 1 GB of data, the memory is filled."""
    prlimit = shutil.which("prlimit")
    assert prlimit, "the integration tests need prlimit (util-linux) on PATH"
    result = run_bundle(mcp, registry, hostile.bomb(kind), prefix=[prlimit, "--data=1000000000"])
    refused(result, "bundle-too-large")
    nothing_kept(mcp)


def test_a_missing_entrypoint(mcp: Mcp, registry: Registry) -> None:
    result = run_bundle(mcp, registry, pack_files({"other": "x"}), "./bin/server")
    refused(result, "entrypoint-missing", status=127)
    assert "bin/server" in result.message
    nothing_kept(mcp)


def test_an_entrypoint_that_is_not_executable(mcp: Mcp, registry: Registry) -> None:
    result = run_bundle(mcp, registry, pack_files({"bin/server": "#!/bin/sh\n"}), "./bin/server")
    refused(result, "entrypoint-not-executable", status=126)
    nothing_kept(mcp)


def test_an_entrypoint_that_is_a_folder(mcp: Mcp, registry: Registry) -> None:
    result = run_bundle(mcp, registry, pack_files({"bin/server/file": "x"}), "./bin/server")
    refused(result, "entrypoint-not-executable", status=126)
    nothing_kept(mcp)


def test_an_entrypoint_that_is_a_link_out(mcp: Mcp, registry: Registry) -> None:
    """The archive is refused as a whole, so the link never exists."""
    refused(run_bundle(mcp, registry, pack([(link("server", "/bin/sh"), b"")]), "./server"), "bundle-unsafe")
    nothing_kept(mcp)


@pytest.mark.parametrize("command", ["../../../bin/sh", "/bin/sh", "./a/../../x"])
def test_an_entrypoint_outside_of_the_bundle(mcp: Mcp, registry: Registry, command: str) -> None:
    result = run_bundle(mcp, registry, pack_files({"main.py": ""}), command)
    assert result.code in ("entrypoint-unsafe", "manifest-invalid"), result
    refused(result, result.code, status=126 if result.code == "entrypoint-unsafe" else 125)


def test_an_entrypoint_behind_a_link_inside_runs(mcp: Mcp, registry: Registry) -> None:
    script = b"#!/bin/sh\nexit 3\n"
    bundle = pack([(regular("real/server", script, 0o755), script), (link("server", "real/server"), b"")])
    assert run_bundle(mcp, registry, bundle, "./server").status == 3


def test_a_runtime_that_is_not_there(mcp: Mcp, registry: Registry) -> None:
    result = run_bundle(mcp, registry, pack_files({"main.py": ""}), "no-such-runtime-7")
    refused(result, "runtime-missing", status=127)
    assert "no-such-runtime-7" in result.message


def test_a_runtime_that_is_too_old(mcp: Mcp, registry: Registry) -> None:
    form = manifest_form(REFERENCE, "python3", "${bundle}/main.py", runtime={"python": ">=99"})
    registry.publish(package(form, pack_files({"main.py": ""})))
    refused(mcp.run("run", REFERENCE), "runtime-version", status=127)
