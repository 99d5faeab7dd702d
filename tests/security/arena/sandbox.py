"""Build the product's own sandbox around one Python program and bring back what it printed."""

import functools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mcp_client.policy.model import DEFAULT_LIMITS, Folder, Limits, Policy
from mcp_client.runtimes.command import Command
from mcp_client.runtimes.find import Host, Runtime, find_runtime
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.spec import ProcessExit

SMALL = DEFAULT_LIMITS._replace(memory=64 << 20)

# The attempt either returns what it got hold of, or fails; both are reported, so that silence is no success.
_FRAME = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*arguments):
    "A raw system call; raises OSError."
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
target = json.loads(sys.argv[1])
def attempt():
{body}
try:
    print(json.dumps({{"got": attempt()}}))
except (OSError, MemoryError, ValueError, RuntimeError) as error:
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, type(error).__name__)
    print(json.dumps({{"refused": name}}))
"""


class Report(NamedTuple):
    """What an attempt said: exactly one of ``got`` (JSON) and ``refused`` (an errno's name) is not None."""

    got: Any
    refused: str | None


class Inside(NamedTuple):
    """How one sandboxed program ended, and what it wrote."""

    exit: ProcessExit
    output: bytes


@functools.cache
def python_runtime() -> Runtime:
    """The interpreter that servers get on this host."""
    with tempfile.TemporaryDirectory() as folder:
        return find_runtime("python3", None, Host({}, os.environ, os.path.join(folder, "memo")))


def run_inside(
    program: str,
    arguments: Iterable[str] = (),
    *,
    subprocess: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    folders: Iterable[Folder] = (),
    environment: Mapping[str, str] | None = None,
    tree: str | None = None,
) -> Inside:
    """Execute Python source text in a sandbox as a server would be."""
    runtime = python_runtime()
    policy = Policy(dict(environment or {}), subprocess, limits, tuple(folders), ())
    argv = (runtime.executable, "-I", "-c", program, *arguments)
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as output:
        os.chmod(empty, 0o755)
        backend = LinuxBackend(os.path.join(empty, "filters"))
        command = Command(argv, runtime.paths, ())
        spec = backend.plan(command, policy, tree=tree or empty, data=None)
        saved = os.dup(1)
        read, write = os.pipe2(os.O_CLOEXEC)
        os.dup2(write, 1)
        os.close(write)
        try:
            process = backend.launch(spec)
            process.await_ready()
            process.release()
        finally:
            os.dup2(saved, 1)
            os.close(saved)
        with os.fdopen(read, "rb") as pipe:
            output.write(pipe.read())
        while process.next_event() != "ended":
            pass
        ended = process.collect()
        os.close(process.diagnostics)
        output.seek(0)
        return Inside(ended, output.read())


def attempt_inside(body: str, target: Any = None, **options: Any) -> Report:
    """Run the body of ``attempt()`` in the sandbox."""
    inside = run_inside(_program(body), [json.dumps(target)], **options)
    assert inside.output, f"the attempt said nothing: {inside.exit}"
    return _report(inside.output)


def attempt_outside(body: str, target: Any = None) -> Report:
    """Run the same body without a sandbox, as the user who runs the tests."""
    argv = [sys.executable, "-I", "-c", _program(body), json.dumps(target)]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert done.stdout, done.stderr.decode()
    return _report(done.stdout)


def _program(body: str) -> str:
    return _FRAME.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


def _report(output: bytes) -> Report:
    answer = json.loads(output.splitlines()[-1])
    return Report(answer.get("got"), answer.get("refused"))
