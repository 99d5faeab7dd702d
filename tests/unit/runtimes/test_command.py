"""From an entrypoint to an argv, with hostile bundles in the way."""

import os

import pytest

from mcp_client.errors import MCPError
from mcp_client.manifest.model import Entrypoint
from mcp_client.runtimes.command import Command, check_file, find_interpreter, resolve_command
from mcp_client.runtimes.find import Host


@pytest.fixture
def tree(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "tree")
    os.makedirs(os.path.join(path, "bin"))
    return path


def _write(tree: str, name: str, content: str = "#!/bin/sh\n", mode: int = 0o755) -> None:
    path = os.path.join(tree, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(path, mode)


def _resolve(tree: str, command: str, *args: str, required: tuple[str, ...] = ()) -> Command:
    host = Host({}, {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}, os.path.join(tree, "..", "memo"))
    entrypoint = Entrypoint(command, args)
    interpreter = find_interpreter(entrypoint, {}, tree=tree, host=host)
    return resolve_command(entrypoint, required, interpreter, bundle="/bundle", host=host)


def test_a_program_of_the_bundle_keeps_its_place(tree: str) -> None:
    _write(tree, "bin/server")
    assert _resolve(tree, "./bin/server", "-v") == Command(("/bundle/bin/server", "-v"), (), ())


def test_env_in_a_first_line_becomes_the_hosts_runtime(tree: str) -> None:
    _write(tree, "bin/server", "#!/usr/bin/env -S sh -e\n")
    assert _resolve(tree, "bin/server", "x").argv == ("/usr/bin/sh", "-e", "/bundle/bin/server", "x")


@pytest.mark.parametrize(
    "first", ["#!/bin/sh\n", "\x7fELF", "#!\n", "#!/usr/bin/env\n", "#!/usr/bin/env /bin/sh\n"]
)
def test_any_other_first_line_is_the_kernels_business(first: str, tree: str) -> None:
    _write(tree, "bin/server", first)
    assert _resolve(tree, "bin/server").argv == ("/bundle/bin/server",)


@pytest.mark.parametrize(
    ("code", "status", "prepare"),
    [
        ("entrypoint-missing", 127, lambda tree: None),
        ("entrypoint-not-executable", 126, lambda tree: _write(tree, "bin/server", mode=0o644)),
        ("entrypoint-not-executable", 126, lambda tree: os.mkdir(os.path.join(tree, "bin/server"))),
        ("entrypoint-unsafe", 126, lambda tree: os.symlink("/bin/sh", os.path.join(tree, "bin/server"))),
        ("entrypoint-unsafe", 126, lambda tree: os.symlink("../../../x", os.path.join(tree, "bin/server"))),
        ("entrypoint-missing", 127, lambda tree: os.symlink("nowhere", os.path.join(tree, "bin/server"))),
    ],
)
def test_an_entrypoint_that_cannot_be_executed(code: str, status: int, prepare: object, tree: str) -> None:
    prepare(tree)  # type: ignore[operator]
    with pytest.raises(MCPError) as caught:
        check_file(tree, "bin/server")
    assert (caught.value.code, caught.value.run_status) == (code, status)


def test_a_link_within_the_bundle_is_fine(tree: str) -> None:
    _write(tree, "bin/real")
    os.symlink("real", os.path.join(tree, "bin/server"))
    assert check_file(tree, "bin/server") == os.path.realpath(os.path.join(tree, "bin/real"))


def test_a_required_command_must_exist(tree: str) -> None:
    _write(tree, "bin/server")
    assert _resolve(tree, "bin/server", required=("sh",)).programs == ("/usr/bin",)
    with pytest.raises(MCPError) as caught:
        _resolve(tree, "bin/server", required=("no-such-command",))
    assert (caught.value.code, caught.value.run_status) == ("command-missing", 127)
