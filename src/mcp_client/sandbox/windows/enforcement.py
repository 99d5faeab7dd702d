"""What holds for one server on Windows, in the words that every platform shares."""

from typing import NamedTuple

from mcp_client.policy.model import Limits
from mcp_client.sandbox.spec import Control, SandboxSpec

_ELSEWHERE = "run mcp on Linux or macOS where that matters"
_REAL = "use a Windows whose kernel keeps it; this one took the request and does not"
_USUAL_PRIVILEGES = 1


class Obtained(NamedTuple):
    """What was found by looking at the built process, and by asking it for too much memory.

    ``low``: its token is of low integrity; ``privileges``: how many are enabled; ``keeps_limits``: the job's
    limits are real (Wine takes them and does nothing); ``capped``: it has a hard cap on its rate;
    ``desktop``: it is kept from clipboard, windows and settings, which a job within another one cannot be.
    """

    low: bool
    privileges: int
    keeps_limits: bool
    capped: bool
    desktop: bool = True


def list_controls(spec: SandboxSpec, obtained: Obtained) -> tuple[Control, ...]:
    """The report."""
    return (
        _identity(obtained),
        _privileges(obtained),
        _filesystem(obtained),
        _isolation(obtained),
        Control(
            "network",
            "none" if spec.way is None else "allow-listed",
            "unavailable",
            "Windows has none that needs no driver: the server reaches what you reach",
            _ELSEWHERE,
        ),
        Control("system-calls", "allow-listed", "unavailable", "Windows has no filter for programs"),
        Control(
            "descriptors",
            "0 to 2",
            "enforced",
            "three handles by PROC_THREAD_ATTRIBUTE_HANDLE_LIST, standard error through a pipe",
        ),
        _subprocess(obtained, subprocess=spec.subprocess),
        *_limits(spec.limits, obtained, subprocess=spec.subprocess),
    )


def _identity(obtained: Obtained) -> Control:
    by = "restricted token without administrators"
    if obtained.low:
        return Control("identity", "unprivileged", "enforced", f"{by}, low integrity")
    return Control("identity", "unprivileged", "degraded", f"{by}; low integrity was not taken", _REAL)


def _isolation(obtained: Obtained) -> Control:
    held = (
        "a job kept from the desktop" if obtained.desktop else "a job within another one, beside the desktop"
    )
    by = f"{held}{', low integrity' if obtained.low else ''}; other processes can be seen"
    return Control("process-isolation", "own view", "degraded", by)


def _privileges(obtained: Obtained) -> Control:
    by = "restricted token: all privileges removed but to walk through folders"
    if obtained.privileges <= _USUAL_PRIVILEGES:
        return Control("privileges", "none", "enforced", by)
    return Control("privileges", "none", "degraded", f"{obtained.privileges} privileges are left", _REAL)


def _filesystem(obtained: Obtained) -> Control:
    if obtained.low:
        by = "writes only where the label is low: its private folders; it reads what you may read"
        return Control("filesystem", "allow-listed", "degraded", by, _ELSEWHERE)
    by = "private folders; but it reads and writes what you may"
    return Control("filesystem", "allow-listed", "unavailable", by, _ELSEWHERE)


def _subprocess(obtained: Obtained, *, subprocess: bool) -> Control:
    if subprocess:
        return Control("subprocess", "allowed", "enforced", "children are born into the same job")
    by = "child process policy, and a job of one process"
    if obtained.keeps_limits:
        return Control("subprocess", "none", "enforced", by)
    return Control("subprocess", "none", "degraded", f"{by}, asked for and not kept", _REAL)


def _limits(limits: Limits, obtained: Obtained, *, subprocess: bool) -> tuple[Control, ...]:
    return (
        Control(
            "files",
            f"{limits.files} per process",
            "unavailable",
            "Windows does not limit handles",
            _ELSEWHERE,
        ),
        _held(
            "processes", str(limits.processes if subprocess else 1), "active processes of the job", obtained
        ),
        _held("memory", f"{limits.memory >> 20} MB", "memory of the job, and of each process", obtained),
        _cpu(limits, obtained),
    )


def _cpu(limits: Limits, obtained: Obtained) -> Control:
    requested = f"{limits.cpu} millicores"
    if not obtained.capped:
        return Control("cpu", requested, "unavailable", "this system caps no job's rate", _REAL)
    return _held("cpu", requested, "hard cap on the job's rate", obtained)


def _held(name: str, requested: str, by: str, obtained: Obtained) -> Control:
    if obtained.keeps_limits:
        return Control(name, requested, "enforced", by)
    return Control(name, requested, "degraded", f"{by}, asked for and not kept", _REAL)
