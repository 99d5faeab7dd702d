"""The ways people install: each gives ``mcp`` and ``mcp-client`` that work, manual and completions."""

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from forms import FILE
from kit.build import virtual_environment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def installers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where ``pipx`` and ``uv`` are."""
    folder = str(tmp_path_factory.mktemp("installers"))
    virtual_environment(folder, "pipx>=1.7", "uv>=0.9")
    return os.path.join(folder, "bin")


@pytest.fixture
def place(tmp_path: os.PathLike[str]) -> Iterator[str]:
    """A home folder, removed after the test: installations are large."""
    yield str(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


def wheel() -> str:
    (path,) = glob.glob(os.path.join(ROOT, "dist", "*.whl"))
    return path


def run(home: str, *command: str, cwd: str | None = None, **variables: str) -> str:
    """What a command prints; HOME is ``home`` and everything else the developer's."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MCP_", "XDG_", "VIRTUAL_"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "HOME": home, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def works(home: str, folder: str) -> None:
    for name in ("mcp", "mcp-client"):
        assert run(home, os.path.join(folder, name), "--version").startswith("mcp-client ")
    assert "acme/hello-world" in run(home, os.path.join(folder, "mcp"), "info", "acme/hello-world@1.2.3")


def test_pipx_installs_the_wheel(installers: str, place: str) -> None:
    places = {"PIPX_HOME": f"{place}/pipx", "PIPX_BIN_DIR": f"{place}/bin", "PIPX_MAN_DIR": f"{place}/man"}
    run(place, f"{installers}/pipx", "install", "--python", sys.executable, wheel(), **places)
    works(place, f"{place}/bin")
    assert os.path.exists(f"{place}/man/man1/mcp.1")


def test_uv_installs_the_wheel(installers: str, place: str) -> None:
    places = {
        "UV_TOOL_DIR": f"{place}/tools",
        "UV_TOOL_BIN_DIR": f"{place}/bin",
        "UV_CACHE_DIR": f"{place}/cache",
    }
    run(place, f"{installers}/uv", "tool", "install", "--python", sys.executable, wheel(), **places)
    works(place, f"{place}/bin")


def test_make_install_from_the_source_archive(place: str) -> None:
    (archive,) = glob.glob(os.path.join(ROOT, "dist", "*.tar.gz"))
    run(place, "tar", "-xzf", archive, "-C", place)
    (source,) = glob.glob(f"{place}/mcp_client-*")
    for _ in range(2):
        run(place, "make", "install", f"PREFIX={place}/prefix", cwd=source)
    works(place, f"{place}/prefix/bin")
    has_texts(f"{place}/prefix/share")


def has_texts(share: str) -> None:
    for path in (
        "man/man1/mcp.1",
        "man/man1/mcp-client.1",
        "bash-completion/completions/mcp",
        "zsh/site-functions/_mcp-client",
        "fish/vendor_completions.d/mcp.fish",
    ):
        assert os.path.getsize(f"{share}/{path}"), path


def test_make_install_of_the_single_file_over_what_is_there(place: str) -> None:
    prefix = f"{place}/prefix"
    # As an installation with a Python left it.
    os.makedirs(f"{prefix}/share/mcp-client/bin")
    os.makedirs(f"{prefix}/bin")
    for name in ("mcp", "mcp-client"):
        with open(f"{prefix}/share/mcp-client/bin/{name}", "w") as file:
            file.write("old")
        os.symlink(f"{prefix}/share/mcp-client/bin/{name}", f"{prefix}/bin/{name}")
    for _ in range(2):
        run(place, "make", "install", f"PREFIX={prefix}", f"FROM={FILE}", cwd=ROOT)
    with open(f"{prefix}/share/mcp-client/bin/mcp-client") as file:
        assert file.read() == "old"
    assert not os.path.islink(f"{prefix}/bin/mcp-client")
    works(place, f"{prefix}/bin")
    has_texts(f"{prefix}/share")


def test_make_install_leaves_another_programs_command_alone(place: str) -> None:
    prefix = f"{place}/prefix"
    os.makedirs(f"{prefix}/bin")
    with open(f"{prefix}/bin/mcp", "w") as file:
        file.write("the SDK's")
    run(place, "make", "install", f"PREFIX={prefix}", f"FROM={FILE}", cwd=ROOT)
    with open(f"{prefix}/bin/mcp") as file:
        assert file.read() == "the SDK's"
    assert run(place, f"{prefix}/bin/mcp-client", "--version").startswith("mcp-client ")
    assert not os.path.exists(f"{prefix}/share/bash-completion/completions/mcp")


def test_bash_completes_with_the_installed_script(place: str) -> None:
    script = os.path.join(ROOT, "packaging", "completions", "bash", "mcp")
    line = "COMP_LINE='mcp ru' COMP_POINT=6 COMP_WORDS=(mcp ru) COMP_CWORD=1"
    ask = (
        f"complete() {{ :; }}; . {script}; {line}; _mcp_completion mcp; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    assert run(place, "bash", "-c", ask, PATH=path).split() == ["run"]
