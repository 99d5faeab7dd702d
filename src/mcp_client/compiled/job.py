"""The process that beside.py starts: compiles one package in a sandbox, and puts the outcome into the cache.

What is executed there is a stranger's, and so is what comes out; it is used for the same package only. The
sandbox is the server's own with less: no network, no folder, no variable and no argument of the user's.
Whatever goes wrong here, the session goes on, and servers start as they did before.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from filelock import Timeout

from mcp_client.app import App
from mcp_client.audit import events
from mcp_client.background import settle
from mcp_client.cache.compiled import find_compiled, postpone_compilation
from mcp_client.cache.compiled_publish import Form, new_form, publish_form
from mcp_client.cache.staging import locked, storage_errors
from mcp_client.compiled.confined import output_of
from mcp_client.compiled.node import GREETING, VARIABLE, add_node, node_arguments
from mcp_client.compiled.python import add_python, list_sources, python_arguments
from mcp_client.compiled.records import read_records
from mcp_client.digest import Digest, parse_digest
from mcp_client.policy.model import Limits, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.spec import SandboxSpec

_MOST_SECONDS = 300
_MOST_MEMORY = 2 << 30
_NICER = 10
_COMPILE_SECONDS = 180.0
_MOST_BYTES = 256 << 20
_MOST_RECORDS = 50_000
# After a failure, which the next run would most likely meet as well; and when there is nothing to compile.
_RETRY_SECONDS = 86_400.0
_NEVER_SECONDS = 3.2e9


def main(given: Mapping[str, Any]) -> None:
    """Settle down as a process of its own, and compile."""
    settle(given["parent"], seconds=_MOST_SECONDS, memory=_MOST_MEMORY, nicer=_NICER)
    app = App(given["overrides"])
    # Nobody waits for it, and what it says would stand among what the server says.
    with suppress(Exception):
        compile_package(app, given)


def compile_package(app: App, given: Mapping[str, Any]) -> str | None:
    """The path of what was compiled, None when another process does it or there is nothing to compile.

    Raises MCPError and OSError; nobody tries again for a day then.
    """
    cache, digest, key = app.cache, parse_digest(given["digest"]), given["key"]
    hold = cache.hold(cache.tree_path(digest))
    try:
        with suppress(Timeout), locked(cache.folder, f"compiled-{digest.hex}", wait=0):
            found = find_compiled(cache, digest, key)
            if found.folder is not None:
                os.close(found.hold)
                return found.folder
            if not cache.is_noted(digest):
                # It was touched, and must be proven first: by the next run.
                return None
            return _compile(app, given, digest)
        return None
    finally:
        os.close(hold)


def _compile(app: App, given: Mapping[str, Any], digest: Digest) -> str | None:
    cache, key = app.cache, given["key"]
    published, wait = None, _RETRY_SECONDS
    try:
        with new_form(cache) as form, storage_errors(form.folder):
            if _fill(app, given, digest, form):
                published = publish_form(cache, digest, key, form)
            else:
                wait = _NEVER_SECONDS
    finally:
        if published is None:
            postpone_compilation(cache, digest, key, wait)
    cache.evict(keep={digest})
    return published


def _fill(app: App, given: Mapping[str, Any], digest: Digest, form: Form) -> bool:
    tree = app.cache.tree_path(digest)
    if given["language"] == "python":
        sources = list_sources(tree)
        printed = _confined(app, given, tree, os.fsencode("\0".join(sources)))
        return bool(sources) and add_python(app.cache, digest, form, sources, printed)
    return add_node(form, _confined(app, given, tree, GREETING))


def _confined(app: App, given: Mapping[str, Any], tree: str, data: bytes) -> Any:
    app.audit.append(
        events.compiling(
            given["run_id"],
            reference=given["reference"],
            bundle_digest=given["digest"],
            by=given["executable"],
        )
    )
    output = output_of(
        app.backend,
        _plan(app, given, tree),
        data,
        on_missing=app.settings.sandbox.on_missing,
        seconds=_COMPILE_SECONDS,
    )
    return read_records(output, most_bytes=_MOST_BYTES, most_records=_MOST_RECORDS)


def _plan(app: App, given: Mapping[str, Any], tree: str) -> SandboxSpec:
    bundle = app.backend.bundle_path(tree)
    executable = given["executable"]
    if given["language"] == "python":
        argv, environment, subprocess = (executable, *python_arguments(bundle)), {}, False
    else:
        script = [] if "/" not in given["command"] else [os.path.normpath(f"{bundle}/{given['command']}")]
        argv = (executable, *node_arguments(), *script, *given["arguments"])
        environment, subprocess = given["environment"], given["subprocess"]
    command = Command(argv, tuple(given["paths"]), (os.path.dirname(executable),))
    policy = Policy(
        environment=environment,
        subprocess=subprocess,
        limits=Limits(*given["limits"]),
        folders=(),
        closed_hosts=(),
    )
    spec = app.backend.plan(command, policy, tree=tree, data=None)
    if given["language"] == "node":
        folder = os.path.join(spec.environment["TMPDIR"], "compiled")
        spec = spec._replace(environment={**spec.environment, VARIABLE: folder})
    return spec
