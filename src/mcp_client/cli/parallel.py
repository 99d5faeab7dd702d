"""Several packages at once: a few threads, each with an App of its own."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from mcp_client.app import App
from mcp_client.errors import MCPError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 4


def for_each(app: App, items: Sequence[Item], work: Callable[[App, Item], Result]) -> list[Result | MCPError]:
    """What ``work`` returns or raises as MCPError for each of ``items``, in their order.

    An interrupt ends the waiting at once; the threads end with the process, and what they had staged is swept
    by whoever writes next. A single item is worked on in the caller's thread, where even that is tidied up.
    Any other exception of ``work`` is raised here.
    """
    if len(items) == 1:
        return [_alone(app, items[0], work)]
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, Result | Exception]] = SimpleQueue()
    for number in range(len(items)):
        waiting.put(number)

    def serve() -> None:
        own = app.with_overrides({})
        with suppress(Empty), closing(own):
            while True:
                number = waiting.get_nowait()
                done.put((number, _outcome(lambda: work(own, items[number]))))  # noqa: B023  called at once

    threads = [Thread(target=serve, daemon=True) for _ in range(min(_MOST_WORKERS, len(items)))]
    for thread in threads:
        thread.start()
    results: dict[int, Result | MCPError] = {}
    while len(results) < len(items):
        number, result = done.get()
        if isinstance(result, Exception) and not isinstance(result, MCPError):
            raise result
        results[number] = result
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(items))]


def _outcome(action: Callable[[], Result]) -> Result | Exception:
    """What is raised is raised again in the caller's thread."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001  for the caller to tell apart
        return error


def _alone(app: App, item: Item, work: Callable[[App, Item], Result]) -> Result | MCPError:
    with closing(app.with_overrides({})) as own:
        try:
            return work(own, item)
        except MCPError as error:
            return error
