"""The official conformance suite, and a server that has all it asks for."""

import functools
import os
import re
import shutil
import subprocess
import sys

from kit.build import built, npm_install, pip_install
from kit.bundle import Package, manifest_form
from kit.programs import node_22
from kit.servers import PROGRAMS, pack_tree, publish_folder

_SUITE = "@modelcontextprotocol/conformance@0.1.16"
_SDK = "mcp>=1.28,<2"
_LINE = re.compile(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)


@functools.cache
def conformance_server() -> Package:
    """``python-sdk/conformance@1.0.0``."""
    form = manifest_form(
        "python-sdk/conformance@1.0.0",
        "python3",
        "${bundle}/main.py",
        env={"PYTHONPATH": "${bundle}"},
        runtime={"python": f"=={sys.version_info[0]}.{sys.version_info[1]}.*"},
        transport="http",
    )
    return publish_folder(form, os.path.dirname(_tree()))


def bare_command() -> list[str]:
    """The same program without any sandbox."""
    return ["env", f"PYTHONPATH={_tree()}", sys.executable, f"{_tree()}/main.py"]


def run_suite(url: str, folder: str) -> dict[str, tuple[int, int]]:
    """Scenario -> checks that passed and that failed."""
    home = built("conformance", [_SUITE], lambda staged: npm_install(staged, _SUITE))
    program = f"{home}/node_modules/@modelcontextprotocol/conformance/dist/index.js"
    command = [node_22(), program, "server", "--suite", "all", "--url", url, "-o", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    return {name: (int(passed), int(failed)) for name, passed, failed in _LINE.findall(done.stdout)}


@functools.cache
def _tree() -> str:
    """Unpacked, so that the bare program can be run from it; packed beside it."""
    source = os.path.join(PROGRAMS, "conformance", "main.py")
    with open(source) as opened:
        program = opened.read()

    def make(staged: str) -> None:
        os.makedirs(f"{staged}/tree")
        pip_install(f"{staged}/tree", _SDK)
        shutil.copy(source, f"{staged}/tree/main.py")
        pack_tree(staged, keep=True)

    return os.path.join(built("conformance-server", [_SDK, program], make), "tree")
