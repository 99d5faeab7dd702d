"""The ways people install: each gives ``mcp`` and ``mcp-client`` that work, manual and completions."""

import glob
import os
import subprocess
import sys
import tarfile

import pytest
from kit.build import virtual_environment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def installers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where ``pipx`` and ``uv`` are."""
    folder = str(tmp_path_factory.mktemp("installers"))
    virtual_environment(folder, "pipx>=1.7", "uv>=0.9")
    return os.path.join(folder, "bin")


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


def test_pipx_installs_the_wheel(installers: str, tmp_path: os.PathLike[str]) -> None:
    home = str(tmp_path)
    places = {"PIPX_HOME": f"{home}/pipx", "PIPX_BIN_DIR": f"{home}/bin", "PIPX_MAN_DIR": f"{home}/man"}
    run(home, f"{installers}/pipx", "install", "--python", sys.executable, wheel(), **places)
    works(home, f"{home}/bin")
    assert os.path.exists(f"{home}/man/man1/mcp.1")


def test_uv_installs_the_wheel(installers: str, tmp_path: os.PathLike[str]) -> None:
    home = str(tmp_path)
    places = {
        "UV_TOOL_DIR": f"{home}/tools",
        "UV_TOOL_BIN_DIR": f"{home}/bin",
        "UV_CACHE_DIR": f"{home}/cache",
    }
    run(home, f"{installers}/uv", "tool", "install", "--python", sys.executable, wheel(), **places)
    works(home, f"{home}/bin")


def test_make_install_from_the_source_archive(tmp_path: os.PathLike[str]) -> None:
    home = str(tmp_path)
    (archive,) = glob.glob(os.path.join(ROOT, "dist", "*.tar.gz"))
    with tarfile.open(archive) as opened:
        opened.extractall(home, filter="data")
    (source,) = glob.glob(f"{home}/mcp_client-*")
    for _ in range(2):
        run(home, "make", "install", f"PREFIX={home}/prefix", cwd=source)
    works(home, f"{home}/prefix/bin")
    for path in (
        "man/man1/mcp.1",
        "bash-completion/completions/mcp",
        "zsh/site-functions/_mcp-client",
        "fish/vendor_completions.d/mcp.fish",
    ):
        assert os.path.getsize(f"{home}/prefix/share/{path}"), path


def test_bash_completes_with_the_installed_script(tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(ROOT, "packaging", "completions", "bash", "mcp")
    line = "COMP_LINE='mcp ru' COMP_POINT=6 COMP_WORDS=(mcp ru) COMP_CWORD=1"
    ask = (
        f"complete() {{ :; }}; . {script}; {line}; _mcp_completion mcp; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    assert run(str(tmp_path), "bash", "-c", ask, PATH=path).split() == ["run"]
