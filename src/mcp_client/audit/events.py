"""The records of the audit log, from plain values.

Each run has one ``start`` and one ``end``, or one ``refused`` (a decision of ours) or ``error``, with the
same run id. In between there is a ``status`` when the registry withdrew what runs, and a ``compile`` when its
package is compiled beside it. ``moved`` belongs to no run: somebody accepted that a reference means something
else. Records name variables but never hold their values, and every text is redacted and bounded.
"""

from __future__ import annotations

import os
import time

from mcp_client import system
from mcp_client.audit.redact import redact, redact_args, redact_url
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mcp_client.resolution import Resolution

    Record = dict[str, Any]

VERSION = 1
_MAX_DEPTH = 6
_MAX_ITEMS = 1000


def start(
    run_id: str,
    *,
    package: str,
    reference: str,
    manifest_digest: str,
    bundle_digest: str,
    registry: str,
    command: str,
    args: Sequence[str],
    transport: str,
    policy: Mapping[str, Any],
    controls: Sequence[tuple[str, str, str, str]],
    environment: Sequence[str],
    endpoint: Mapping[str, Any] | None = None,
) -> Record:
    """A server is about to run. ``environment`` holds names only, ``endpoint`` is where clients find it.

    ``controls`` are (name, what is requested, state, by what); the record has each state by name, and the
    rest beside it.
    """
    return {
        **_head("start", run_id),
        "package": package,
        "reference": reference,
        "manifest_digest": manifest_digest,
        "bundle_digest": bundle_digest,
        "registry": redact_url(registry),
        "entrypoint": {"command": redact(command), "args": redact_args(args)},
        "transport": transport,
        "policy": _clean(policy),
        "enforcement": {name: state for name, _, state, _ in controls},
        "requested": {name: redact(requested) for name, requested, _, _ in controls},
        "mechanisms": {name: redact(mechanism) for name, _, _, mechanism in controls},
        "degraded": any(state != "enforced" for _, _, state, _ in controls),
        "environment": sorted({name.partition("=")[0] for name in environment}),
        **({} if endpoint is None else {"endpoint": _clean(endpoint)}),
    }


def end(
    run_id: str,
    *,
    outcome: str,
    exit_code: int | None = None,
    signal: int | None = None,
    reason: str | None = None,
    duration: float,
    cpu: float | None = None,
    peak_memory: int | None = None,
    refused: int = 0,
    network: Sequence[Mapping[str, Any]] = (),
    http: Mapping[str, Any] | None = None,
) -> Record:
    """A server has ended: ``outcome`` is exit, signal, timeout or oom; seconds, bytes; ``None``: unknown.

    ``refused`` counts the processes or programs it was not allowed to start, ``network`` tells of each
    destination the connections by how they went, and the bytes; ``http`` of the requests that it got.
    """
    return {
        **_head("end", run_id),
        "outcome": outcome,
        "exit_code": exit_code,
        "signal": signal,
        "reason": None if reason is None else redact(reason),
        "duration_seconds": round(duration, 3),
        "cpu_seconds": None if cpu is None else round(cpu, 3),
        "peak_memory_bytes": peak_memory,
        "refused_starts": refused,
        "network": [_clean(destination) for destination in network],
        **({} if http is None else {"http": _clean(http)}),
    }


def refused(run_id: str, *, reference: str, code: str, message: str) -> Record:
    """A run that was not allowed to start: integrity, policy, sandbox. ``code`` is the error's."""
    return _failure("refused", run_id, reference, code, message)


def error(run_id: str, *, reference: str, code: str, message: str) -> Record:
    """A run that failed for a reason that is no decision: registry, cache, the launcher itself."""
    return _failure("error", run_id, reference, code, message)


def status(run_id: str, *, reference: str, registry: str, code: str, message: str) -> Record:
    """Beside a running server its registry was asked, and the next run is refused with ``code``."""
    return {**_failure("status", run_id, reference, code, message), "registry": redact_url(registry)}


def compiling(run_id: str, *, reference: str, bundle_digest: str, by: str) -> Record:
    """Beside a running server its package is about to be compiled, in a sandbox of its own."""
    return {
        **_head("compile", run_id),
        "reference": redact(reference),
        "bundle_digest": bundle_digest,
        "interpreter": redact(by),
    }


def moved(run_id: str, *, before: Resolution, now: Resolution) -> Record:
    """Somebody accepted that a reference, known as itself or as another one, means something else."""
    return {
        **_head("moved", run_id),
        "reference": redact(str(now.reference)),
        "known_as": redact(str(before.reference)),
        "registry": redact_url(now.registry),
        "manifest_before": str(before.manifest.digest),
        "manifest_digest": str(now.manifest.digest),
        "bundle_before": str(before.bundle.digest),
        "bundle_digest": str(now.bundle.digest),
    }


def _failure(event: str, run_id: str, reference: str, code: str, message: str) -> Record:
    return {**_head(event, run_id), "reference": redact(reference), "code": code, "message": redact(message)}


def _head(event: str, run_id: str) -> Record:
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    user, uid = system.account()
    return {
        "v": VERSION,
        "time": f"{seconds}.{now // 1_000_000 % 1000:03d}Z",
        "event": event,
        "run_id": run_id,
        "user": user,
        "uid": uid,
        "pid": os.getpid(),
    }


def _clean(value: Any, depth: int = 0) -> Any:
    """JSON values only, texts redacted, lists and nesting bounded."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MAX_DEPTH and hasattr(value, "items"):
        return {redact(str(key)): _clean(item, depth + 1) for key, item in list(value.items())[:_MAX_ITEMS]}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return redact(str(value))
