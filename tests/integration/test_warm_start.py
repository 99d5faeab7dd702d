"""A warm start asks nobody and imports next to nothing."""

import re
import subprocess
import sys

import pytest
from kit import mounted, programs
from kit.command import EXECUTABLE, Mcp, refused

REFERENCE = programs.single().reference
HEAVY = {"click", "h11", "httpx", "pydantic_core", "structlog", "asyncio", "psutil", "filelock", "yaml"}
# Of the standard library; the first ones would bring the others with them.
HEAVY |= {
    "typing",
    "re",
    "enum",
    "signal",
    "json",
    "contextlib",
    "collections",
    "functools",
    "dataclasses",
    "datetime",
    "sqlite3",
    "weakref",
}
HEAVY |= {
    "hashlib",
    "_hashlib",
    "pathlib",
    "tempfile",
    "subprocess",
    "shutil",
    "socket",
    "ipaddress",
    "email",
    "ssl",
}
HEAVY |= {"urllib", "fnmatch", "inspect", "logging", "threading", "traceback"}


def imported(report: str) -> set[str]:
    """Top-level names of all modules in what ``-X importtime`` wrote."""
    return {
        match[1].split(".")[0]
        for match in re.finditer(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", report, re.MULTILINE)
    }


def test_a_warm_run_imports_nothing_heavy(warm: Mcp) -> None:
    assert warm.run("run", REFERENCE, "--", "leave", "0").status == 0
    result = warm.run("run", REFERENCE, "--", "leave", "3", prefix=[sys.executable, "-X", "importtime"])
    assert result.status == 3, result.stderr
    names = imported(result.stderr)
    assert "mcp_client" in names, "the report is not read correctly"
    assert names & HEAVY == set()


def test_a_server_with_an_allowlist_needs_nothing_heavy_either(warm: Mcp) -> None:
    """The engine that decides about its connections is there before it starts."""
    flags = ["run", "--allow-net", "*.example.com:443", REFERENCE, "--", "leave", "3"]
    assert warm.run(*flags).status == 3
    result = warm.run(*flags, prefix=[sys.executable, "-X", "importtime"])
    assert result.status == 3, result.stderr
    assert "mcp_client.network.engine.engine" in result.stderr
    assert imported(result.stderr) & HEAVY == set()


def test_the_import_report_would_show_a_heavy_module(mcp: Mcp) -> None:
    """The test above could not fail if this did not hold: a cold failure imports the HTTP client."""
    result = mcp.run("run", REFERENCE, prefix=[sys.executable, "-X", "importtime"])
    assert result.code == "package-not-found"
    assert "httpx" in imported(result.stderr)


def test_a_warm_run_with_an_unchanged_config_reads_no_yaml(warm: Mcp, tmp_path: object) -> None:
    config = f"{tmp_path}/config.yaml"
    with open(config, "w") as opened:
        opened.write("executor:\n  grace: 2s\n")
    flags = ["--config", config, "run", REFERENCE, "--", "leave", "3"]
    assert warm.run(*flags).status == 3
    result = warm.run(*flags, prefix=[sys.executable, "-X", "importtime"])
    assert result.status == 3, result.stderr
    assert imported(result.stderr) & HEAVY == set()


def test_a_warm_run_needs_no_registry(warm: Mcp) -> None:
    """The registry of this home was closed when it had served the package."""
    assert warm.run("run", REFERENCE, "--", "leave", "3").status == 3
    assert warm.run("run", "--offline", REFERENCE, "--", "leave", "3").status == 3
    refused(warm.run("run", "--timeout", "5s", "test/other@1.0.0"), "registry-unavailable")


def test_a_warm_run_needs_no_network_at_all(warm: Mcp) -> None:
    """Not even loopback: the whole command runs in a network namespace where nothing is up."""
    result = warm.run("run", REFERENCE, "--", "leave", "3", prefix=mounted.without_network())
    assert result.status == 3, result.stderr


@pytest.mark.parametrize("name", ["mcp", "mcp-client"])
def test_both_names_of_the_command_work(warm: Mcp, name: str) -> None:
    command = EXECUTABLE.removesuffix("mcp") + name
    done = subprocess.run([command, "--version"], env=warm.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "0." in done.stdout
