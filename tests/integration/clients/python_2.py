"""Python SDK 2.x: reads a task from stdin, prints a report. It asks for the newest revision first."""

import asyncio
import json
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters


async def main() -> None:
    task = json.load(sys.stdin)
    program, *args = task["command"]
    async with Client(StdioServerParameters(command=program, args=args, env=task["env"])) as client:
        tools = await client.list_tools()
        results = []
        for name, arguments in task["calls"]:
            answer = await client.call_tool(name, arguments)
            text = "\n".join(block.text for block in answer.content if block.type == "text")
            results.append({"text": text, "error": bool(answer.is_error)})
        report = {
            "revision": client.protocol_version,
            "server": client.server_info.name,
            "tools": [tool.name for tool in tools.tools],
            "results": results,
        }
    print(json.dumps(report))


asyncio.run(main())
