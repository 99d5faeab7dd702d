"""Python SDK 1.x: reads a task from stdin, prints a report."""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    task = json.load(sys.stdin)
    program, *args = task["command"]
    parameters = StdioServerParameters(command=program, args=args, env=task["env"])
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        tools = await session.list_tools()
        results = []
        for name, arguments in task["calls"]:
            answer = await session.call_tool(name, arguments)
            text = "\n".join(block.text for block in answer.content if block.type == "text")
            results.append({"text": text, "error": bool(answer.isError)})
        report = {
            "revision": hello.protocolVersion,
            "server": hello.serverInfo.name,
            "tools": [tool.name for tool in tools.tools],
            "results": results,
        }
    print(json.dumps(report))


asyncio.run(main())
