"""The decision: what the manifest asks for, within what the operator allows, plus the user's grants."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mcp_client.config.settings import ExecutorSettings, PolicySettings
from mcp_client.manifest.model import Manifest, Resources
from mcp_client.policy.environment import refuse_denied, select_environment
from mcp_client.policy.model import DEFAULT_LIMITS, Folder, Limits, Policy

_MIB = 1 << 20


class Grants(NamedTuple):
    """What the user gave by hand: variables by name, and folders."""

    environment: Mapping[str, str]
    folders: tuple[Folder, ...]


def decide(
    manifest: Manifest,
    grants: Grants,
    *,
    operator: PolicySettings,
    caps: ExecutorSettings,
    host_environment: Mapping[str, str],
) -> Policy:
    """The effective policy.

    The user's ``--env`` stands above the manifest's patterns, and below the operator's: a variable that the
    operator denies is refused (``env-refused``).
    """
    refuse_denied(grants.environment, operator.environment_deny)
    denied = (*manifest.denied_env, *operator.environment_deny)
    environment = select_environment(host_environment, manifest.allowed_env, denied)
    environment.update(grants.environment)
    return Policy(
        environment=environment,
        subprocess=manifest.subprocess and operator.subprocess,
        limits=_limits(manifest.resources, caps),
        folders=grants.folders,
        closed_hosts=manifest.network,
    )


def _limits(asked: Resources, caps: ExecutorSettings) -> Limits:
    memory = asked.memory_mb * _MIB if asked.memory_mb is not None else None
    return Limits(
        memory=_least(memory, DEFAULT_LIMITS.memory, caps.max_memory),
        cpu=_least(asked.cpu_millicores, DEFAULT_LIMITS.cpu, caps.max_cpu),
        processes=_least(asked.max_processes, DEFAULT_LIMITS.processes, caps.max_processes),
        files=_least(asked.max_fds, DEFAULT_LIMITS.files, caps.max_fds),
    )


def _least(asked: int | None, default: int, cap: int | None) -> int:
    wanted: Iterable[int] = (asked if asked is not None else default, *(() if cap is None else (cap,)))
    return min(wanted)
