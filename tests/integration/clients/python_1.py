"""Python SDK 1.x: reads a task from stdin, prints a report."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

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
    async with AsyncExitStack() as stack:
        if "url" in task:
            way = streamablehttp_client(task["url"], headers=task.get("headers"))
        else:
            program, *args = task["command"]
            way = stdio_client(StdioServerParameters(command=program, args=args, env=task["env"]))
        read, write, *_ = await stack.enter_async_context(way)
        handlers = {"sampling_callback": on_sampling, "elicitation_callback": on_elicitation}
        session = await stack.enter_async_context(ClientSession(read, write, **handlers))
        hello = await session.initialize()
        tools = await session.list_tools()
        results = []
        for name, arguments in task["calls"]:
            answer = await session.call_tool(name, arguments, progress_callback=on_progress)
            text = "\n".join(block.text for block in answer.content if block.type == "text")
            results.append({"text": text, "error": bool(answer.isError)})
        report = {
            "revision": hello.protocolVersion,
            "server": hello.serverInfo.name,
            "tools": [tool.name for tool in tools.tools],
            "results": results,
            "seen": seen,
        }
    print(json.dumps(report))


asyncio.run(main())
