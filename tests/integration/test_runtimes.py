"""Runtimes of the host that do not live in the system folders: virtual environments, nvm, pyenv."""

import os
import shutil
import subprocess
import sys

from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.registry import Registry

TELL_PYTHON = "import sys, only_in_this_venv; print(only_in_this_venv.WORD, sys.prefix)\n"
TELL_NODE = "#!/usr/bin/env node\nconsole.log(process.execPath, process.argv.slice(2).join(' '))\n"


def test_a_virtual_environment_on_path_works_with_its_packages(mcp: Mcp, registry: Registry) -> None:
    venv = os.path.join(mcp.folder, "venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = (
        os.path.join(root, "site-packages")
        for root, folders, _ in os.walk(os.path.join(venv, "lib"))
        if "site-packages" in folders
    )
    with open(os.path.join(packages, "only_in_this_venv.py"), "w") as module:
        module.write("WORD = 'found'\n")
    form = manifest_form("test/venv@1.0.0", "python3", "${bundle}/main.py")
    registry.publish(package(form, pack_files({"main.py": TELL_PYTHON})))
    result = mcp.run("run", "test/venv@1.0.0", env={"PATH": f"{venv}/bin:/usr/bin:/bin"})
    assert result.stdout.decode() == f"found {venv}\n", result.stderr


def test_node_of_a_version_manager_is_found_from_a_bare_path(mcp: Mcp, registry: Registry) -> None:
    """As GUI clients start us: the version manager's folder is on nobody's PATH."""
    node = shutil.which("node")
    assert node, "Node is needed: make test installs it"
    binary = os.path.join(mcp.folder, ".nvm/versions/node/v99.0.0/bin/node")
    os.makedirs(os.path.dirname(binary))
    shutil.copy(os.path.realpath(node), binary)
    os.mkdir(os.path.join(mcp.folder, ".nvm/versions/node/v99.0.0/lib"))
    with open(os.path.join(mcp.folder, ".nvm/private"), "w") as private:
        private.write("not to be seen")
    mcp.configure("runtimes:\n  node: " + binary + "\n")
    form = manifest_form("test/nvm@1.0.0", "./server", "a", "b")
    registry.publish(package(form, pack_files({"server": TELL_NODE}, executable={"server"})))
    result = mcp.run("run", "test/nvm@1.0.0", env={"PATH": "/usr/bin:/bin"})
    assert result.stdout.decode() == f"{binary} a b\n", result.stderr
    plan = mcp.run("run", "--dry-run", "test/nvm@1.0.0").stdout.decode()
    assert ".nvm/versions/node/v99.0.0 " in plan
    assert f"{mcp.folder}/.nvm " not in plan


def test_a_version_that_is_not_there_is_told_before_anything_starts(mcp: Mcp, registry: Registry) -> None:
    form = manifest_form("test/old@1.0.0", "python3", "x", runtime={"python": ">=2.7,<3"})
    registry.publish(package(form, pack_files({"main.py": ""})))
    result = mcp.run("run", "test/old@1.0.0")
    assert (result.code, result.status) == ("runtime-version", 127)
    assert "3." in result.message
    assert result.stdout == b""
