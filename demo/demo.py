"""The demo behind ``make demo``: a real MCP client talks to a sandboxed server.

Runs in ``.build/demo-venv`` with the official Python SDK, which starts ``mcp run acme/hello-world@1.2.3``
as any MCP client would. The same server is asked once more without a sandbox, for comparison.
"""
# ruff: noqa: INP001, T201 - a script that prints

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple, TextIO

from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment, stdio_client

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.path.join(ROOT, ".build", "demo-home")
MESSAGES = os.path.join(HOME, "stderr.txt")
MCP = os.path.join(ROOT, ".venv", "bin", "mcp")
SERVER = os.path.join(ROOT, "src", "mcp_client", "embedded", "source", "hello-world", "server.py")
REFERENCE = "acme/hello-world@1.2.3"
WIDEST = 38
LONGEST_WAIT = 60.0
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ

ROWS = {
    "user": "user",
    "host": "host name",
    "processes": "processes",
    "homes_of_others": "home folders",
    "root": "entries in /",
    "writable": "writable",
    "interfaces": "network cards",
    "network": "network",
    "environment": "environment",
}


class Visit(NamedTuple):
    """What one connection brought: the revision spoken, two answers, seconds until connected."""

    revision: str
    greeting: str
    view: dict[str, Any]
    connected_after: float


def visit(command: str, *args: str, home: str | None = None) -> Visit:
    """Start a server, call both of its tools, and leave; with ``home`` its messages are kept for later."""
    environment = {**get_default_environment(), **({} if home is None else {"MCP_HOME": home})}
    server = StdioServerParameters(command=command, args=list(args), env=environment)
    with open(os.devnull if home is None else MESSAGES, "a", encoding="utf-8") as errlog:
        return asyncio.run(_visit(server, errlog))


async def _visit(server: StdioServerParameters, errlog: TextIO) -> Visit:
    started = time.perf_counter()
    async with Client(stdio_client(server, errlog=errlog), read_timeout_seconds=LONGEST_WAIT) as client:
        connected_after = time.perf_counter() - started
        hello = await client.call_tool("hello", {"name": "Ada"})
        view = await client.call_tool("whereami", {})
        return Visit(
            client.session.protocol_version or "?",
            getattr(hello.content[0], "text", "?"),
            dict(view.structured_content or {}),
            connected_after,
        )


def bold(text: str) -> str:
    """``text`` in bold on a terminal."""
    return f"\033[1m{text}\033[0m" if COLOURED else text


@contextmanager
def chapter(number: int, title: str) -> Iterator[None]:
    """A numbered heading and an empty line after its content."""
    print(bold(f"{number}. {title}"))
    yield
    print()


def cell(value: Any) -> str:
    """A value that fits a column; long lists are counted."""
    if isinstance(value, list):
        text = " ".join(value) or "none"
        return text if len(text) <= WIDEST else f"{len(value)} of them"
    text = str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def show_views(here: dict[str, Any], inside: dict[str, Any]) -> None:
    """Both answers of ``whereami`` side by side."""
    rows = [("", "on this machine", "in the sandbox")]
    rows += [(name, cell(here.get(key, "?")), cell(inside.get(key, "?"))) for key, name in ROWS.items()]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for row in rows:
        print(f"   {row[0]:<{first}}   {row[1]:<{second}}   {row[2]}".rstrip())


def audit_records() -> list[dict[str, Any]]:
    """Every record of the demo's own audit log."""
    with open(os.path.join(HOME, "audit.log"), encoding="utf-8") as log:
        return [json.loads(line) for line in log]


def show_record(records: list[dict[str, Any]]) -> None:
    """The start and the end of the first run, in brief."""
    start = next(record for record in records if record["event"] == "start")
    end = next(r for r in records if r["event"] == "end" and r["run_id"] == start["run_id"])
    controls = start["enforcement"]
    weaker = {name: state for name, state in controls.items() if state != "enforced"}
    enforced = len(controls) - len(weaker)
    rows = [
        ("run", f"{start['run_id'][:12]}…  {start['time']}  by {start['user']}"),
        ("package", start["reference"]),
        ("manifest", f"{start['manifest_digest'][:30]}…  verified"),
        ("bundle", f"{start['bundle_digest'][:30]}…  verified"),
        ("sandbox", f"{enforced} of {len(controls)} controls enforced"),
        *[("", f"{name}: {state}") for name, state in weaker.items()],
        (
            "end",
            " ".join(str(end[key]) for key in ("outcome", "exit_code", "signal") if end[key] is not None),
        ),
        ("used", used(end)),
    ]
    for name, text in rows:
        print(f"   {name:<9}  {text}")


def used(end: dict[str, Any]) -> str:
    """What a run used, as far as the record knows."""
    parts = [f"{end['duration_seconds']:.2f} s"]
    if end["cpu_seconds"] is not None:
        parts.append(f"{end['cpu_seconds']:.2f} s of CPU")
    if end["peak_memory_bytes"] is not None:
        parts.append(f"{end['peak_memory_bytes'] / 2**20:.0f} MB of memory at most")
    return ", ".join(parts)


def tell() -> None:
    """The whole story."""
    print(f"\n{bold('mcp-client')}  runs MCP servers nobody has to trust\n")
    with chapter(1, "A real MCP client starts the server"):
        print(f"   $ mcp run {REFERENCE}")
        cold = visit(MCP, "run", REFERENCE, home=HOME)
        warm = visit(MCP, "run", REFERENCE, home=HOME)
        print(f"   Python SDK {version('mcp')}, protocol revision {cold.revision}")
        print(
            f"   {cold.connected_after * 1000:.0f} ms the first time: resolved, verified, unpacked, sandboxed"
        )
        print(f"   {warm.connected_after * 1000:.0f} ms from the cache")
    with chapter(2, "and calls its tool"):
        print(f'   hello(name="Ada")  →  {cold.greeting}')
    with chapter(3, "What the server can see"):
        here = visit(sys.executable, SERVER)
        show_views(here.view, cold.view)
    with chapter(4, "What is on record"):
        show_record(audit_records())
        print(f"   {'in':<9}  {os.path.relpath(os.path.join(HOME, 'audit.log'))}")
    print(bold("Try next"))
    for command, purpose in (
        (".venv/bin/mcp doctor", "try every control on this machine"),
        (f".venv/bin/mcp run --dry-run {REFERENCE}", "print the plan, run nothing"),
        (f".venv/bin/mcp info {REFERENCE}", "what the package asks for"),
        ("make test", "run the tests"),
    ):
        print(f"   {command:<52} {purpose}")
    print("   docs/EXAMPLES.md" + " " * 37 + "Claude Desktop, Cursor, VS Code, CI\n")


def main() -> int:
    """Run the demo in a home of its own; 1 with the launcher's own words when something fails."""
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    shutil.rmtree(HOME, ignore_errors=True)
    os.makedirs(HOME, mode=0o700)
    try:
        tell()
    except Exception as error:  # noqa: BLE001 - whatever fails, a newcomer needs the launcher's words first
        with open(MESSAGES, encoding="utf-8") as said:
            words = said.read().strip()
        print(f"\nThe demo stopped.\n\n{words or repr(error)}\n", file=sys.stderr)
        print("To see what this machine lacks:  .venv/bin/mcp doctor\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
