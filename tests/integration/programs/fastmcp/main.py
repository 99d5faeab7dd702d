"""A server as people write them with FastMCP; it listens on the port it is told."""

import os
from dataclasses import dataclass

from fastmcp import Context, FastMCP
from starlette.requests import Request
from starlette.responses import PlainTextResponse

server = FastMCP("tools")


@dataclass
class Name:
    name: str


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
async def count(upto: int, context: Context) -> str:
    """Count, and report each number."""
    for number in range(upto):
        await context.report_progress(number + 1, upto)
    return f"counted {upto}"


@server.tool
async def ask(context: Context) -> str:
    """Ask the user for a name."""
    answer = await context.elicit("Who are you?", response_type=Name)
    return str(answer)


@server.custom_route("/health", methods=["GET"])
async def health(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


server.run(transport="http", host="127.0.0.1", port=int(os.environ["PORT"]))
