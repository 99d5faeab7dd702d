"""One server on Windows: created suspended, looked at, released, watched, ended with all that it started."""

from __future__ import annotations

import msvcrt
import os
from collections import deque
from ctypes import byref
from threading import Thread
from typing import TYPE_CHECKING

from mcp_client.errors import MCPError
from mcp_client.sandbox.spec import ProcessExit, Usage
from mcp_client.sandbox.windows.command_line import command_line
from mcp_client.sandbox.windows.creation import (
    Attributes,
    Created,
    create_suspended,
    inheritable,
    keeps_memory_limit,
)
from mcp_client.sandbox.windows.enforcement import Obtained, list_controls
from mcp_client.sandbox.windows.environment import environment_block
from mcp_client.sandbox.windows.job import KILLED_STATUS, Job, Message, stands_in_a_job
from mcp_client.sandbox.windows.scratch import Scratch
from mcp_client.sandbox.windows.streams import Stream, finish, pipe, standard_stream
from mcp_client.sandbox.windows.token import (
    LOW_INTEGRITY,
    Identity,
    enabled_privileges,
    integrity_of,
    process_token,
)
from mcp_client.windows import api
from mcp_client.windows import structures as s
from mcp_client.windows.places import system_folder

if TYPE_CHECKING:
    from mcp_client.sandbox.spec import Control, Happening, SandboxSpec

_SIGKILL = 9
_OUT_OF_MEMORY = frozenset({s.JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT, s.JOB_OBJECT_MSG_JOB_MEMORY_LIMIT})
_ENDED = frozenset({s.JOB_OBJECT_MSG_EXIT_PROCESS, s.JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS})
# Messages of a job may be lost ("not guaranteed"), so the process itself is looked at now and then.
_LOOK_MILLISECONDS = 500
_SETTLE_MILLISECONDS = 5000


class WindowsProcess:
    """A SandboxedProcess; ``events`` is the handle of an event, ``diagnostics`` a descriptor."""

    egress: int | None = None
    ingress: int | None = None
    secret: str | None = None

    def __init__(self, spec: SandboxSpec, scratch: str) -> None:
        """Build it. Raises ``sandbox-unavailable``, and what command line or environment are refused for.

        ``scratch`` is the path of the server's private folders, which are made.
        """
        self._spec = spec
        self.controls: tuple[Control, ...] = ()
        self._happened: deque[Happening] = deque()
        self._out_of_memory, self._refused = False, 0
        program, line = command_line(spec.argv, system_folder=system_folder())
        block = environment_block(spec.environment)
        self._scratch = Scratch(scratch)
        try:
            self._event = api.Handle(api.CreateEventW(None, True, False, None))
            self.events = self._event.value or 0
            self._job = Job(spec.limits, subprocess=spec.subprocess)
            self._desktop = True
            self._identity = Identity()
            self._created = self._create_in_job(program, line, block)
            self.pid = self._created.pid
        except OSError as error:
            self._scratch.close()
            raise _failed(error) from error
        except BaseException:
            self._scratch.close()
            raise

    def _create_in_job(self, program: str, line: str, block: str) -> Created:
        try:
            return self._create(program, line, block)
        except OSError:
            # "Nested Jobs": one with restrictions on the desktop cannot be inside another one.
            if not stands_in_a_job():
                raise
        os.close(self.diagnostics)
        self._desktop = False
        self._job = Job(self._spec.limits, subprocess=self._spec.subprocess, desktop=False)
        return self._create(program, line, block)

    def _create(self, program: str, line: str, block: str) -> Created:
        reading, writing = pipe()
        self.diagnostics = msvcrt.open_osfhandle(reading.value or 0, os.O_RDONLY | os.O_BINARY)
        reading.value = None
        errors = Stream(inheritable(writing.value or 0))
        self._streams = (standard_stream(0), standard_stream(1), errors)
        handles = [stream.handle.value or 0 for stream in self._streams]
        attributes = Attributes(job=self._job.handle, inherited=handles, children=self._spec.subprocess)
        try:
            return create_suspended(
                program,
                line,
                token=self._identity.handle,
                attributes=attributes,
                streams=handles,
                environment=block,
                directory=self._spec.directory,
                console=self._spec.subprocess,
            )
        finally:
            attributes.close()
            writing.close()
            for stream in self._streams:
                stream.handle.close()

    def await_ready(self) -> None:
        """Look at what was built. Raises ``sandbox-unavailable`` for what must hold and does not."""
        process = self._created.process.value or 0
        try:
            if not self._job.holds(process):
                raise MCPError(
                    "sandbox-unavailable",
                    "the server was not created in its job",
                    hint="nothing was run; this is a defect of this program or of Windows; report it",
                )
            token = process_token(process)
            try:
                low = integrity_of(token.value or 0) == LOW_INTEGRITY
                privileges = enabled_privileges(token.value or 0)
            finally:
                token.close()
            obtained = Obtained(
                low=low,
                privileges=privileges,
                keeps_limits=keeps_memory_limit(process, self._spec.limits.memory),
                capped=self._job.capped,
                desktop=self._desktop,
            )
        except OSError as error:
            raise _failed(error) from error
        self.controls = list_controls(self._spec, obtained)

    def release(self) -> None:
        """Let the server execute."""
        self._watcher = Thread(target=self._watch, daemon=True)
        self._watcher.start()
        for stream in self._streams:
            if stream.carrier is not None:
                stream.carrier.start()
        api.ResumeThread(self._created.thread.value)
        self._created.thread.close()

    def signal(self, number: int) -> None:  # noqa: ARG002  there is one way to end a process here
        """End the tree: Windows has no signals that a process without a console could hear."""
        self.kill()

    def kill(self) -> None:
        """End the whole tree at once."""
        self._job.terminate()
        if not hasattr(self, "_watcher"):
            self._clean_up()

    def next_event(self) -> Happening:
        """What happened; "ended" is the last."""
        happened = self._happened.popleft()
        if not self._happened:
            api.ResetEvent(self.events)
            if self._happened:
                api.SetEvent(self.events)
        return happened

    def collect(self) -> ProcessExit:
        """The end of the server's own process, and what all of them have used."""
        code = s.DWORD()
        api.GetExitCodeProcess(self._created.process.value, byref(code))
        used = self._job.used()
        finish(self._streams)
        self._clean_up()
        usage = Usage(used.user_seconds, used.system_seconds, used.peak_memory)
        if code.value == KILLED_STATUS:
            return ProcessExit(None, _SIGKILL, self._out_of_memory, self._refused, usage)
        # As the C runtime counts: what a crash leaves (0xC0000005) is negative, and exit() gives it back.
        status = code.value - (1 << 32) if code.value >= 1 << 31 else code.value
        return ProcessExit(status, None, self._out_of_memory, self._refused, usage)

    def _watch(self) -> None:
        """In a thread: turn the job's messages into what happened, until the server's process has ended."""
        process = self._created.process.value
        while True:
            message = self._job.next_message(_LOOK_MILLISECONDS)
            if message is not None:
                self._take(message)
            ended = message is None or (message.kind in _ENDED and message.process == self.pid)
            if ended and api.WaitForSingleObject(process, 0 if message is None else 1000) == s.WAIT_OBJECT_0:
                break
        # The server's end is the end of all it has started.
        self._job.terminate()
        self._settle()
        self._tell("ended")

    def _settle(self) -> None:
        """Wait until nothing of it lives."""
        left = _SETTLE_MILLISECONDS
        while left > 0 and self._job.active():
            self._job.next_message(10)
            left -= 10

    def _take(self, message: Message) -> None:
        if message.kind in _OUT_OF_MEMORY and not self._out_of_memory:
            self._out_of_memory = True
            self._tell("memory-exceeded")
            self._job.terminate()
        elif message.kind == s.JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT:
            self._refused += 1
            if self._refused == 1:
                self._tell("process-refused")

    def _tell(self, happened: Happening) -> None:
        self._happened.append(happened)
        api.SetEvent(self.events)

    def _clean_up(self) -> None:
        self._identity.close()
        self._scratch.close()


def _failed(error: OSError) -> MCPError:
    return MCPError(
        "sandbox-unavailable",
        f"the sandbox could not be built: {error.strerror} (Windows error {error.winerror})",
        hint="nothing was run; 'mcp doctor' tries each control",
    )
