"""The decision: what the manifest asks for, within what the operator allows, plus the user's grants."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.policy.environment import refuse_denied, select_environment
from mcp_client.policy.model import DEFAULT_LIMITS, HIGHEST_LIMITS, Limits, NetworkPolicy, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.config.settings import ExecutorSettings, PolicySettings
    from mcp_client.manifest.model import Manifest, Resources
    from mcp_client.policy.model import Folder

_MIB = 1 << 20


class Grants(NamedTuple):
    """What the user gave by hand: variables by name, folders, and network rules as written."""

    environment: Mapping[str, str]
    folders: tuple[Folder, ...]
    network: tuple[str, ...] = ()


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
    operator denies is refused (``env-refused``), and so is a host (``network-refused``).
    """
    refuse_denied(grants.environment, operator.environment_deny)
    denied = (*manifest.denied_env, *operator.environment_deny)
    environment = select_environment(host_environment, manifest.allowed_env, denied)
    environment.update(grants.environment)
    network, closed_hosts = _network(manifest, grants, operator)
    return Policy(
        environment=environment,
        subprocess=manifest.subprocess and operator.subprocess,
        limits=_limits(manifest.resources, caps),
        folders=grants.folders,
        closed_hosts=closed_hosts,
        network=network,
    )


def _network(
    manifest: Manifest, grants: Grants, operator: PolicySettings
) -> tuple[NetworkPolicy, tuple[str, ...]]:
    if not manifest.network and not grants.network:
        return NetworkPolicy(), ()
    from mcp_client.policy.network import decide_network  # rules, for servers that have any

    return decide_network(manifest.network, grants.network, operator)


def _limits(asked: Resources, caps: ExecutorSettings) -> Limits:
    wanted = Limits(
        memory=DEFAULT_LIMITS.memory if asked.memory_mb is None else asked.memory_mb * _MIB,
        cpu=DEFAULT_LIMITS.cpu if asked.cpu_millicores is None else asked.cpu_millicores,
        processes=DEFAULT_LIMITS.processes if asked.max_processes is None else asked.max_processes,
        files=DEFAULT_LIMITS.files if asked.max_fds is None else asked.max_fds,
    )
    allowed = (caps.max_memory, caps.max_cpu, caps.max_processes, caps.max_fds)
    return Limits(
        *(
            min(want, highest if cap is None else cap)
            for want, cap, highest in zip(wanted, allowed, HIGHEST_LIMITS, strict=True)
        )
    )
