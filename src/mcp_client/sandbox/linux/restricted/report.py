"""What holds for a server in the restricted sandbox, in the words of the full one."""

from mcp_client.light import TYPE_CHECKING
from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.enforcement import (
    ALLOWLIST,
    WALLS,
    Obtained,
    limit_controls,
    subprocess_control,
)
from mcp_client.sandbox.linux.identity import UNPRIVILEGED_ID
from mcp_client.sandbox.linux.landlock import SIGNALS_SCOPED_SINCE
from mcp_client.sandbox.spec import Control, SandboxSpec

if TYPE_CHECKING:
    from mcp_client.sandbox.spec import State

_DOCUMENT = "see docs/SECURITY.md for what lets this host build the full sandbox"


def list_restricted_controls(
    spec: SandboxSpec, obtained: Obtained, user: int, mend: str | None
) -> tuple[Control, ...]:
    """The report; ``user`` is the id the server has, ``mend`` is what allows the full sandbox."""
    version = obtained.landlock
    mend = mend or _DOCUMENT

    def wall(name: str, state: "State", by: str) -> Control:
        return Control(name, WALLS[name][0], state, by, None if state == "enforced" else mend)

    return (
        _identity(user, mend),
        wall("privileges", "enforced", "no capabilities, no_new_privs, namespaces refused by seccomp"),
        wall(
            "filesystem",
            "degraded",
            f"Landlock, interface {version}: names, sizes and dates of other files can be found out",
        ),
        wall(
            "process-isolation",
            "degraded",
            f"{_signals(version)}, no view into others; that they exist can be found out",
        ),
        _network(spec, mend),
        wall("system-calls", "enforced", "seccomp, with fewer calls than in the full sandbox"),
        wall("descriptors", "enforced", WALLS["descriptors"][1]),
        Control("landlock", "second layer", "unavailable", "it is the first layer here", mend),
        _subprocess(spec, obtained, mend),
        *_limits(spec.limits, obtained, subprocess=spec.subprocess),
    )


def _network(spec: SandboxSpec, mend: str) -> Control:
    by = "seccomp: no sockets but connected pairs"
    if spec.way is None:
        return Control("network", WALLS["network"][0], "enforced", by)
    return Control("network", ALLOWLIST, "unavailable", f"{by}; nothing can be reached", mend)


def _identity(user: int, mend: str) -> Control:
    requested = WALLS["identity"][0]
    if user == UNPRIVILEGED_ID:
        return Control("identity", requested, "enforced", f"the host's unprivileged id {user}")
    who = "root without its capabilities" if user == 0 else "the user who runs mcp"
    return Control("identity", requested, "degraded", f"{who}, id {user}, on the host itself", mend)


def _signals(version: int) -> str:
    if version >= SIGNALS_SCOPED_SINCE:
        return "signals confined by Landlock"
    return "signals confined by seccomp to the process itself"


def _subprocess(spec: SandboxSpec, obtained: Obtained, mend: str) -> Control:
    control = subprocess_control(obtained.gate, subprocess=spec.subprocess)
    if not spec.subprocess:
        return control
    by = "children live by the same rules and end with init, but not where mcp and init are killed at once"
    if obtained.landlock < SIGNALS_SCOPED_SINCE:
        by += "; they cannot be signalled"
    return control._replace(state="degraded", mechanism=by, mend=mend)


def _limits(limits: Limits, obtained: Obtained, *, subprocess: bool) -> tuple[Control, ...]:
    """As in the full sandbox, but for RLIMIT_NPROC, which would count all of the user's processes."""
    controls = limit_controls(limits, obtained, subprocess=subprocess)
    if not subprocess or obtained.gate:
        return controls
    return tuple(
        control._replace(state="unavailable", mechanism="an outer supervisor holds the only listener")
        if control.name == "processes"
        else control
        for control in controls
    )
