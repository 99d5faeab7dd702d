"""What the official conformance suite asks of a server, by the official Python SDK 1.x at ``PORT``."""

import asyncio
import base64
import os

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts.base import UserMessage
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    ImageContent,
    PromptReference,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0data\0\0\0\0"
).decode()


class Memory(EventStore):
    """Events in the order in which they were sent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    async def store_event(self, stream_id: str, message: object) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        start = int(last_event_id)
        stream = self.events[start - 1][0]
        for number, (other, message) in enumerate(self.events[start:], start + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


server = FastMCP("conformance", port=int(os.environ["PORT"]), event_store=Memory(), retry_interval=100)


@server.tool()
def test_simple_text() -> str:
    """Text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """An image."""
    return [ImageContent(type="image", data=PIXEL, mimeType="image/png")]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """Sound."""
    return [AudioContent(type="audio", data=SILENCE, mimeType="audio/wav")]


def embedded(uri: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mimeType="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=contents)


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """A resource inside."""
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Some of each."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mimeType="image/png"),
        embedded("test://mixed-content-resource", '{"test": "data"}'),
    ]


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Messages on the way."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(text)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Progress on the way."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return "progressed"


@server.tool()
def test_error_handling() -> str:
    """A failure."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(messages=[message], max_tokens=100)
    text = answer.content.text if answer.content.type == "text" else ""
    return f"LLM response: {text}"


class Reply(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    answer = await ctx.elicit(message, Reply)
    return f"User response: {answer.model_dump_json()}"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Closes its own stream; the answer comes by the next one."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed successfully"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """Text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """Bytes."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002  the name in the address
    """By a parameter."""
    return f'{{"id": "{id}", "templateTest": true, "data": "Data for ID: {id}"}}'


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803  the suite's name
    """A prompt with a resource inside."""
    return [UserMessage(embedded(resourceUri, "Embedded resource content for testing."))]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with an image."""
    return [UserMessage(ImageContent(type="image", data=PIXEL, mimeType="image/png"))]


@server.completion()
async def complete(ref: PromptReference, _argument: object, _context: object) -> Completion:
    """Nothing to suggest."""
    return Completion(values=[], total=0, hasMore=False)


@server._mcp_server.set_logging_level()
async def set_level(_level: str) -> None:
    """Any level will do."""


@server._mcp_server.subscribe_resource()
async def subscribe(_uri: object) -> None:
    """Nothing ever changes."""


@server._mcp_server.unsubscribe_resource()
async def unsubscribe(_uri: object) -> None:
    """Nothing ever changes."""


server.run(transport="streamable-http")
