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

    An interrupt ends the waiting at once, and what the threads had staged is removed; they end with the
    process. A single item is worked on in the caller's thread. Any other exception of ``work`` is raised
    here.
    """
    if len(items) == 1:
        return [_alone(app, items[0], work)]
    from mcp_client.cache.interrupt import ended_tidily
    from mcp_client.cache.staging import abandon_staged

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
    results: dict[int, Result | MCPError] = {}
    with ended_tidily():
        try:
            for thread in threads:
                thread.start()
            while len(results) < len(items):
                number, result = done.get()
                results[number] = _only_known(result)
            for thread in threads:
                thread.join()
        except BaseException:
            abandon_staged()
            raise
    return [results[number] for number in range(len(items))]


def _only_known(result: Result | Exception) -> Result | MCPError:
    if isinstance(result, Exception) and not isinstance(result, MCPError):
        raise result
    return result


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
