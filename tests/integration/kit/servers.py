"""Real servers, built at test time from where their authors publish them."""

import functools
import os
import platform
import shutil
import sys
from typing import Any, NamedTuple

from kit.build import built, npm_install, pip_install
from kit.bundle import Package, manifest_form, pack_folder, package

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs")
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"


class Step(NamedTuple):
    """A call of a tool with a known part of its answer; ``seen`` is what comes from the server before it.

    ``in_session`` when the server asks the client in its course, which it cannot where there is no session.
    """

    tool: str
    arguments: dict[str, Any]
    expected: str
    seen: str | None = None
    in_session: bool = False


class RealServer(NamedTuple):
    """A package, the newest revision of the protocol it speaks, and one call with a known answer.

    ``more`` are calls in whose course the server reports progress or asks the client for something.
    """

    package: Package
    revision: str
    tool: str
    arguments: dict[str, Any]
    expected: str
    more: tuple[Step, ...] = ()


# Not for use: the address only makes the file complete, so that the server starts without a cluster.
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
current-context: nowhere
users: [{name: nobody, user: {}}]
"""


@functools.cache
def time_server() -> RealServer:
    """Python, vendored dependencies with native modules, the newest revision."""
    requirement = "mcp-server-time>=2026.1"
    python = f"=={sys.version_info[0]}.{sys.version_info[1]}.*"
    form = manifest_form(
        "modelcontextprotocol/time@1.0.0",
        "python3",
        "-m",
        "mcp_server_time",
        env={"PYTHONPATH": "${bundle}"},
        runtime={"python": python},
    )
    folder = built("time", [requirement, "hashed"], lambda staged: _packed(staged, pip_install, requirement))
    return RealServer(
        publish_folder(form, folder), MODERN, "get_current_time", {"timezone": "UTC"}, '"timezone": "UTC"'
    )


@functools.cache
def everything_server() -> RealServer:
    """Node, a large tree of small files, speaks by handshake."""
    return RealServer(
        _node_package("everything", "stdio"), HANDSHAKE, "echo", {"message": "tea"}, "Echo: tea"
    )


@functools.cache
def filesystem_server() -> Package:
    """Node, works on folders that are granted with ``--set roots=DIR``."""
    roots = {"type": "directory", "multiple": True, "required": True, "access": "rw"}
    return _node_package("filesystem", "${config.roots}", config={"roots": roots})


@functools.cache
def filesystem_server_unbound() -> Package:
    """The same server with a fixed folder, which ``--mount`` has to bring."""
    return _node_package("filesystem", "/granted", reference="modelcontextprotocol/filesystem-fixed@1.0.0")


@functools.cache
def native_server() -> RealServer:
    """Go, one statically linked binary inside the bundle, the newest revision."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    binary = f"kubernetes-mcp-server-linux-{machine}"

    def install(staged: str, requirement: str) -> None:
        npm_install(f"{staged}/.npm", requirement)
        os.makedirs(os.path.join(staged, "bin"))
        shutil.move(f"{staged}/.npm/node_modules/{binary}/bin/{binary}", f"{staged}/bin/server")
        shutil.rmtree(f"{staged}/.npm")
        os.chmod(f"{staged}/bin/server", 0o755)
        with open(f"{staged}/kubeconfig", "w") as opened:
            opened.write(KUBECONFIG)

    def make(staged: str) -> None:
        os.makedirs(f"{staged}/tree/.npm")
        install(f"{staged}/tree", requirement)
        pack_tree(staged)

    requirement = "kubernetes-mcp-server@0.0.67"
    folder = built("native", [requirement, KUBECONFIG], make)
    form = manifest_form(
        "containers/kubernetes@1.0.0", "./bin/server", "--kubeconfig", "${bundle}/kubeconfig"
    )
    return RealServer(
        publish_folder(form, folder), MODERN, "configuration_view", {}, "current-context: nowhere"
    )


@functools.cache
def everything_http_server() -> RealServer:
    """The same tree as everything_server(), behind a port: sessions, resumption, a stream by GET."""
    package = _node_package(
        "everything",
        "streamableHttp",
        reference="modelcontextprotocol/everything-http@1.0.0",
        transport="http",
    )
    steps = (
        Step("trigger-long-running-operation", {"duration": 0.3, "steps": 3}, "completed", "progress"),
        Step("trigger-sampling-request", {"prompt": "say it", "maxTokens": 9}, "sampled words", "sampled"),
        Step("trigger-elicitation-request", {}, "Ada", "elicited"),
    )
    return RealServer(package, HANDSHAKE, "echo", {"message": "tea"}, "Echo: tea", steps)


@functools.cache
def fastmcp_server() -> RealServer:
    """Python, the most used framework with all it depends on, and a few tools; the newest revision."""
    requirement = "fastmcp>=4.1,<5"
    form = manifest_form(
        "fastmcp/tools@1.0.0",
        "python3",
        "${bundle}/main.py",
        env={"PYTHONPATH": "${bundle}"},
        runtime={"python": f"=={sys.version_info[0]}.{sys.version_info[1]}.*"},
        transport="http",
        http={"port": 80, "path": "/mcp", "health": "/health"},
    )
    with open(f"{PROGRAMS}/fastmcp/main.py") as opened:
        program = opened.read()

    def make(staged: str) -> None:
        os.makedirs(f"{staged}/tree")
        pip_install(f"{staged}/tree", requirement)
        with open(f"{staged}/tree/main.py", "w") as opened:
            opened.write(program)
        pack_tree(staged)

    folder = built("fastmcp", [requirement, program], make)
    steps = (
        Step("count", {"upto": 3}, "counted 3", "progress"),
        Step("ask", {}, "Ada", "elicited", in_session=True),
    )
    return RealServer(publish_folder(form, folder), MODERN, "add", {"a": 2, "b": 40}, "42", steps)


@functools.cache
def grafana_server() -> RealServer:
    """Go, one binary out of a wheel, the newest revision."""
    requirement = "mcp-grafana>=2.1"

    def make(staged: str) -> None:
        os.makedirs(f"{staged}/tree/bin")
        pip_install(f"{staged}/wheel", requirement)
        shutil.move(f"{staged}/wheel/mcp_grafana/bin/mcp-grafana", f"{staged}/tree/bin/server")
        shutil.rmtree(f"{staged}/wheel")
        os.chmod(f"{staged}/tree/bin/server", 0o755)
        pack_tree(staged)

    form = manifest_form(
        "grafana/mcp@1.0.0",
        "./bin/server",
        "-t",
        "streamable-http",
        "--address",
        "localhost:8080",
        transport="http",
        http={"health": "/healthz"},
    )
    folder = built("grafana", [requirement], make)
    # There is no Grafana: the tool says so, and that answer is the server's own.
    return RealServer(publish_folder(form, folder), MODERN, "list_datasources", {}, "list datasources: Get")


def _node_package(name: str, *args: str, reference: str | None = None, **fields: Any) -> Package:
    requirement = f"@modelcontextprotocol/server-{name}@>=2026.1"
    main = f"${{bundle}}/node_modules/@modelcontextprotocol/server-{name}/dist/index.js"
    form = manifest_form(
        reference or f"modelcontextprotocol/{name}@1.0.0",
        "node",
        main,
        *args,
        runtime={"node": ">=20"},
        **fields,
    )
    folder = built(name, [requirement, "packed"], lambda staged: _packed(staged, npm_install, requirement))
    return publish_folder(form, folder)


def _packed(staged: str, install: Any, requirement: str) -> None:
    os.makedirs(f"{staged}/tree")
    install(f"{staged}/tree", requirement)
    pack_tree(staged)


def pack_tree(staged: str, *, keep: bool = False) -> None:
    """Pack ``staged/tree`` beside itself: packing takes seconds, and every worker of every run needs it."""
    with open(f"{staged}/bundle.tar.gz", "wb") as opened:
        opened.write(pack_folder(f"{staged}/tree"))
    if not keep:
        shutil.rmtree(f"{staged}/tree")


def publish_folder(form: dict[str, Any], folder: str) -> Package:
    """A package of what pack_tree() has packed."""
    with open(f"{folder}/bundle.tar.gz", "rb") as opened:
        return package(form, opened.read())
