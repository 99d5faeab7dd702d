"""Run one program in a sandbox of its own, give it some bytes, and read what it prints."""

import os
import select
import time
from collections.abc import Iterator

from mcp_client.choices import OnMissing
from mcp_client.sandbox.backend import Backend
from mcp_client.sandbox.enforcement import refuse_missing
from mcp_client.sandbox.spec import SandboxSpec

_CHUNK = 256 << 10


def output_of(
    backend: Backend, spec: SandboxSpec, given: bytes, *, on_missing: OnMissing, seconds: float
) -> Iterator[bytes]:
    """What the program prints, until it ends or its time is over; whatever is left of it is ended then.

    It takes the standard streams of this process for itself. Raises MCPError when the sandbox cannot be
    built as it must be.
    """
    its_input, ours = os.pipe()
    output, its_output = os.pipe()
    os.dup2(its_input, 0)
    os.dup2(its_output, 1)
    os.close(its_input)
    os.close(its_output)
    process = backend.launch(spec)
    try:
        process.await_ready()
        refuse_missing(process.controls, on_missing)
    except BaseException:
        process.kill()
        raise
    process.release()
    # Ours are in the way of the end of file.
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield from _exchange(ours, output, process.diagnostics, given, time.monotonic() + seconds)
    finally:
        os.close(output)
        process.kill()
        process.collect()


def _exchange(target: int, output: int, diagnostics: int, given: bytes, deadline: float) -> Iterator[bytes]:
    """Feed and read at once, since either side may wait for the other; what it complains of is dropped."""
    left = memoryview(given)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(diagnostics, select.POLLIN)
    poll.register(target, select.POLLOUT)
    os.set_blocking(target, False)
    waiting = True
    try:
        while (seconds := deadline - time.monotonic()) > 0:
            ready = dict(poll.poll(seconds * 1000))
            if diagnostics in ready and not os.read(diagnostics, _CHUNK):
                poll.unregister(diagnostics)
            if waiting and target in ready:
                left = _feed(target, left)
                if not left:
                    poll.unregister(target)
                    os.close(target)
                    waiting = False
            if output in ready:
                chunk = os.read(output, _CHUNK)
                if not chunk:
                    return
                yield chunk
    finally:
        if waiting:
            os.close(target)


def _feed(target: int, left: memoryview) -> memoryview:
    """What is left after as much as fits; nothing when nobody reads any more."""
    try:
        return left[os.write(target, left) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]
