"""The supervisor's side of the launch: fork, map the user, wait until the world is built, let go."""

import errno
import os
import signal
from typing import NoReturn

from mcp_client.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, MCPError, printable
from mcp_client.sandbox.linux import identity, init, libc
from mcp_client.sandbox.linux.channel import Channel
from mcp_client.sandbox.linux.refusals import explain
from mcp_client.sandbox.spec import ProcessExit, SandboxSpec, Usage


class LinuxProcess:
    """A server behind its gate: the world is built, and exec happens at release().

    ``pid`` is the sandbox's init as the host sees it; its end is the end of everything inside.
    """

    def __init__(self, spec: SandboxSpec, filters: tuple[bytes, ...]) -> None:
        """Fork and build the sandbox. Raises ``sandbox-unavailable`` or ``sandbox-setup-failed``."""
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        setup_read, setup_write = os.pipe()
        report_read, report_write = os.pipe()
        control_read, control_write = os.pipe()
        supervisor = os.getpid()
        porter = os.fork()
        if porter == 0:
            for descriptor in (setup_read, report_read, control_write):
                os.close(descriptor)
            channel = Channel(setup_write, report_write, control_read)
            init.run_child(spec, filters, channel, supervisor)
        for descriptor in (setup_write, report_write, control_read):
            os.close(descriptor)
        self._setup = setup_read
        self._lines = b""
        self._report = report_read
        self._control = control_write
        self.pid = porter
        try:
            self._expect("unshared")
            _map_ids(porter)
            self._say()
            self.pid = int(self._expect("init")[0])
            os.waitpid(porter, 0)
            self.pidfd = os.pidfd_open(self.pid)
            self._say()
        except BaseException:
            self._abandon()
            raise

    def await_ready(self) -> None:
        """Wait until every control is applied and only exec is left. Raises like the constructor."""
        try:
            self._expect("ready")
        except BaseException:
            self._abandon()
            raise

    def release(self) -> None:
        """Let the server execute. Raises ``entrypoint-missing`` or ``entrypoint-not-executable``."""
        try:
            self._say()
            line = self._read_line()
        except BaseException:
            self._abandon()
            raise
        if line is not None:
            self._abandon()
            self._raise_failure(line)
        os.close(self._setup)

    def signal(self, number: int) -> None:
        """Send a signal to the server, by way of init."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            # It ended by itself; collect() says how.
            return

    def kill(self) -> None:
        """End init and with it, by the kernel's hand, every process of the sandbox."""
        self.signal(signal.SIGKILL)

    def collect(self) -> ProcessExit:
        """Reap init after its end and tell how the server ended; usage is None when init was killed."""
        _, init_status, usage = os.wait4(self.pid, 0)
        report = os.read(self._report, init.REPORT.size)
        os.close(self._report)
        os.close(self._control)
        os.close(self.pidfd)
        if len(report) == init.REPORT.size:
            status, user, system, peak = init.REPORT.unpack(report)
            return _process_exit(status, Usage(user, system, peak))
        total = Usage(usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)
        return _process_exit(init_status, total)

    def _say(self) -> None:
        try:
            os.write(self._control, b".")
        except BrokenPipeError:
            # The child is gone; what it said before is on the setup pipe and is read next.
            return

    def _expect(self, word: str) -> list[str]:
        line = self._read_line()
        if line is None:
            raise MCPError(
                "sandbox-setup-failed",
                f"the sandbox ended before it was ready (waiting for {word!r})",
                hint="run 'mcp doctor'; an out-of-memory kill would be in the kernel's log",
            )
        found, *fields = line.split("\t")
        if found != word:
            self._raise_failure(line)
        return fields

    def _read_line(self) -> str | None:
        while b"\n" not in self._lines:
            data = os.read(self._setup, 4096)
            if not data:
                return None
            self._lines += data
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode(errors="replace")

    def _raise_failure(self, line: str) -> NoReturn:
        _, stage, number, detail = line.split("\t", 3)
        code = int(number)
        if stage == "exec" and code == errno.E2BIG:
            raise MCPError(
                "env-refused",
                "the server's variables and arguments are too large",
                hint="one of them may have 128 KiB, all together a few MB (execve(2))",
            )
        if stage == "exec":
            missing = code == errno.ENOENT
            raise MCPError(
                "entrypoint-missing" if missing else "entrypoint-not-executable",
                f"the server could not be executed: {printable(detail)}",
                hint="its interpreter or loader is missing inside the sandbox"
                if missing
                else "it may be built for another system, or lie where programs are not allowed",
                run_status=EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE,
            )
        raise explain(stage, code, printable(detail))

    def _abandon(self) -> None:
        self.kill()
        os.waitpid(self.pid, 0)


def _process_exit(status: int, usage: Usage) -> ProcessExit:
    code = os.waitstatus_to_exitcode(status)
    return ProcessExit(code, None, usage) if code >= 0 else ProcessExit(None, -code, usage)


def _map_ids(porter: int) -> None:
    try:
        identity.map_ids(porter)
    except OSError as error:
        raise explain("map the user", error.errno or 0, f"{error.filename}: {error.strerror}") from error
