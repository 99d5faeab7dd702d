"""Host runtimes are found wherever version managers put them, and never through a shim."""

import os
import sys
from collections.abc import Callable

import pytest

from mcp_client.errors import MCPError
from mcp_client.runtimes.find import Host, find_runtime
from mcp_client.runtimes.places import candidates

Make = Callable[..., str]


@pytest.fixture
def home(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "home")
    os.mkdir(path)
    return path


@pytest.fixture
def make(home: str) -> Make:
    """Write an executable below the home folder that answers --version."""

    def write(path: str, version: str = "v20.1.0") -> str:
        full = os.path.join(home, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho {version}\necho asked >> '{home}/asked'\n")
        os.chmod(full, 0o755)
        return full

    return write


def _host(home: str, path: str = "", **configured: str) -> Host:
    return Host(configured, {"HOME": home, "PATH": path}, os.path.join(home, "memo"))


def test_path_comes_first_and_relative_entries_are_ignored(home: str, make: Make) -> None:
    first, second = make("a/rt"), make("b/rt")
    environ = {"HOME": home, "PATH": f"{home}/a:relative::{home}/b:{home}/a"}
    assert list(candidates("rt", environ)) == [first, second]


def test_a_shim_is_passed_over_for_what_it_would_run(home: str, make: Make) -> None:
    make(".pyenv/shims/rt")
    make(".pyenv/versions/3.13.0/bin/rt")
    chosen = make(".pyenv/versions/3.12.1/bin/rt")
    with open(os.path.join(home, ".pyenv/version"), "w", encoding="utf-8") as file:
        file.write("3.12.1\n")
    environ = {"HOME": home, "PATH": f"{home}/.pyenv/shims"}
    assert next(candidates("rt", environ)) == chosen
    environ["PYENV_VERSION"] = "3.13.0"
    assert next(candidates("rt", environ)).endswith("3.13.0/bin/rt")


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.12.1/bin",
        ".nvm/versions/node/v20.1.0/bin",
        ".volta/tools/image/node/20.1.0/bin",
        ".asdf/installs/nodejs/20.1.0/bin",
        ".local/share/mise/installs/node/20.1.0/bin",
        ".local/share/uv/python/cpython-3.12.1/bin",
        ".local/share/fnm/node-versions/v20.1.0/installation/bin",
    ],
)
def test_a_bare_path_finds_version_managers(place: str, home: str, make: Make) -> None:
    assert list(candidates("rt", {"HOME": home, "PATH": "/usr/bin"})) == []
    path = make(f"{place}/rt")
    assert list(candidates("rt", {"HOME": home, "PATH": "/usr/bin"})) == [path]


def test_the_python_of_this_program_is_the_last_resort(home: str, make: Make) -> None:
    theirs = make("bin/python3")
    found = list(candidates("python3", {"HOME": home, "PATH": f"{home}/bin"}))
    assert found[0] == theirs
    assert os.path.realpath(sys.executable) in map(os.path.realpath, found)
    assert os.path.realpath(sys.executable) not in candidates("node", {"HOME": home})


def test_the_highest_version_of_a_manager_comes_first(home: str, make: Make) -> None:
    for version in ("v9.0.0", "v20.1.0", "v18.0.0"):
        make(f".nvm/versions/node/{version}/bin/rt")
    found = [path.split("/")[-3] for path in candidates("rt", {"HOME": home})]
    assert found == ["v20.1.0", "v18.0.0", "v9.0.0"]


def test_a_constraint_chooses_and_a_failure_tells_what_there_is(home: str, make: Make) -> None:
    make("old/node", "v18.2.0")
    new = make("new/node", "v22.0.1")
    host = _host(home, f"{home}/old:{home}/new")
    assert find_runtime("node", None, host).version == (18, 2, 0)
    assert find_runtime("node", ">=20,<23", host).executable == os.path.realpath(new)
    with pytest.raises(MCPError) as caught:
        find_runtime("node", ">=99", host)
    assert (caught.value.code, caught.value.run_status) == ("runtime-version", 127)
    assert "18.2.0" in caught.value.message


def test_a_missing_runtime_is_127(home: str) -> None:
    with pytest.raises(MCPError) as caught:
        find_runtime("no-such-runtime", None, _host(home))
    assert (caught.value.code, caught.value.run_status) == ("runtime-missing", 127)


def test_the_configuration_wins(home: str, make: Make) -> None:
    make("a/node")
    named = make("elsewhere/node", "v21.0.0")
    assert find_runtime("node", None, _host(home, f"{home}/a", node=named)).executable == os.path.realpath(
        named
    )
    with pytest.raises(MCPError, match="not an executable"):
        find_runtime("node", None, _host(home, node=f"{home}/missing"))


def test_an_answer_is_remembered_until_the_file_changes(home: str, make: Make) -> None:
    path = make("a/node")
    host = _host(home, f"{home}/a")
    for _ in range(3):
        find_runtime("node", None, host)
    asked = os.path.join(home, "asked")
    with open(asked, encoding="utf-8") as file:
        assert len(file.readlines()) == 1
    make("a/node", "v22.0.0")
    os.utime(path, ns=(1, 1))
    assert find_runtime("node", None, host).version == (22, 0, 0)


def test_a_program_that_a_manifest_names_is_never_executed_here(home: str, make: Make) -> None:
    make("a/deploy-to-production")
    find_runtime("deploy-to-production", None, _host(home, f"{home}/a"))
    assert not os.path.exists(os.path.join(home, "asked"))


def test_a_private_prefix_is_shown_and_a_shared_one_is_not(home: str, make: Make) -> None:
    make("tool/bin/node")
    os.mkdir(os.path.join(home, "tool/lib"))
    assert find_runtime("node", None, _host(home, f"{home}/tool/bin")).paths == (
        os.path.realpath(f"{home}/tool"),
    )
    make(".local/bin/node")
    os.mkdir(os.path.join(home, ".local/lib"))
    host = _host(home, f"{home}/.local/bin")
    assert find_runtime("node", None, host).paths == (os.path.realpath(f"{home}/.local/bin/node"),)


def test_python_tells_its_prefixes_and_a_venv_keeps_its_path() -> None:
    folder = os.path.dirname(sys.executable)
    with_python = Host({}, {"HOME": "/nonexistent", "PATH": folder}, os.devnull + "/memo")
    runtime = find_runtime("python", None, with_python)
    assert runtime.version == sys.version_info[:3]
    assert runtime.executable == (
        sys.executable if sys.prefix != sys.base_prefix else os.path.realpath(sys.executable)
    )
    if not sys.base_prefix.startswith("/usr"):
        assert os.path.realpath(sys.base_prefix) in {os.path.realpath(path) for path in runtime.paths}


def test_a_prefix_that_would_show_the_home_folder_is_unusable(home: str) -> None:
    os.makedirs(os.path.join(home, "bin"))
    os.symlink(os.path.realpath(sys.executable), os.path.join(home, "bin/python3"))
    with open(os.path.join(home, "pyvenv.cfg"), "w", encoding="utf-8") as file:
        file.write(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    host = _host(home, f"{home}/bin")
    # /usr/bin is searched as well, so another interpreter may be found; this one must not be.
    try:
        paths: tuple[str, ...] = find_runtime("python3", None, host).paths
    except MCPError:
        paths = ()
    assert home not in paths
