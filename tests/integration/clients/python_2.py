"""Python SDK 2.x: reads a task from stdin, prints a report. It asks for the newest revision first."""

import asyncio
import json
import sys

import mcp_types as types
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

seen = {"progress": 0, "sampled": 0, "elicited": 0}


async def on_progress(*_: object) -> None:
    seen["progress"] += 1


async def on_sampling(*_: object) -> types.CreateMessageResult:
    seen["sampled"] += 1
    content = types.TextContent(type="text", text="sampled words")
    return types.CreateMessageResult(role="assistant", content=content, model="none")


async def on_elicitation(*_: object) -> types.ElicitResult:
    seen["elicited"] += 1
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def main() -> None:
    task = json.load(sys.stdin)
    if "url" in task:
        http = create_mcp_http_client(headers=task.get("headers"))
        server = streamable_http_client(task["url"], http_client=http)
    else:
        program, *args = task["command"]
        server = StdioServerParameters(command=program, args=args, env=task["env"])
    handlers = {"sampling_callback": on_sampling, "elicitation_callback": on_elicitation}
    async with Client(server, **handlers) as client:
        tools = await client.list_tools()
        results = []
        for name, arguments in task["calls"]:
            answer = await client.call_tool(name, arguments, progress_callback=on_progress)
            text = "\n".join(block.text for block in answer.content if block.type == "text")
            results.append({"text": text, "error": bool(answer.is_error)})
        report = {
            "revision": client.protocol_version,
            "server": client.server_info.name,
            "tools": [tool.name for tool in tools.tools],
            "results": results,
            "seen": seen,
        }
    print(json.dumps(report))


asyncio.run(main())
