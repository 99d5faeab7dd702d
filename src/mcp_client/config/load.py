"""Settings from flags, environment, files and defaults, in this order.

The warm path. When no file has changed since the last run, what was read and checked then comes from a
memo beside the cache, and neither yaml nor pydantic is imported.
"""

from __future__ import annotations

import os
import sys

from mcp_client.config import memo
from mcp_client.config.home import make_private, refuse_foreign, user_folder
from mcp_client.config.settings import (
    AuditSettings,
    CacheSettings,
    ExecutorSettings,
    LogSettings,
    PolicySettings,
    RegistrySettings,
    SandboxSettings,
    Settings,
)
from mcp_client.config.values import log_level, optional_duration, registry_url, switch
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    T = TypeVar("T")

if sys.platform == "win32":
    from mcp_client.windows.places import common_folder

    # The machine's own word: a variable would be the user's.
    POLICY_FILE = os.path.join(common_folder(), "mcp", "policy.yaml")
else:
    POLICY_FILE = "/etc/mcp/policy.yaml"
_FLAGS = {
    "registry": "--registry",
    "timeout": "--timeout",
    "log_level": "--log-level",
    "offline": "--offline",
}
_VARIABLES = {
    "registry": "MCP_REGISTRY_URL",
    "timeout": "MCP_TIMEOUT",
    "log_level": "MCP_LOG_LEVEL",
    "offline": "MCP_OFFLINE",
}


def load_settings(
    overrides: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    policy_file: str = POLICY_FILE,
) -> Settings:
    """Merge ``overrides`` over everything else.

    They are flags: ``config``, ``log_level``, ``offline``, ``on_missing``, ``registry`` and ``timeout``.

    ``policy_file`` is the operator's and only narrows. An empty variable counts as unset. Raises
    ``config-invalid`` naming file, line and key (``usage`` for a flag) and ``config-unreadable``.
    """
    user = "" if environ.get("MCP_HOME") else user_folder(environ)
    user = environ.get("HOME") or user
    home = _absolute(environ.get("MCP_HOME") or "~/.mcp", user)
    named = overrides.get("config") or environ.get("MCP_CONFIG")
    config_file = _absolute(named, user) if named else os.path.join(home, "config.yaml")
    refuse_foreign((home, config_file))
    make_private(home)
    config, policy = _read_files(home, config_file, policy_file, required=bool(named))
    settings = _build(config or {}, environ, home, user)
    settings = _override(settings, overrides, environ)
    if policy is not None:
        settings = _narrow(settings, policy)
    refuse_foreign((settings.cache.dir,))
    return settings._replace(config_file=config_file if config is not None else None)


def _read_files(home: str, config_file: str, policy_file: str, *, required: bool) -> tuple[Any, Any]:
    """The checked contents of both files, each ``None`` when there is no such file."""
    config_id, policy_id = memo.identify(config_file), memo.identify(policy_file)
    if config_id is None and required:
        raise MCPError(
            "config-unreadable",
            f"the configuration file {printable(config_file)} does not exist",
            hint="name an existing file with --config or MCP_CONFIG, or leave it out",
        )
    if config_id is None and policy_id is None:
        return None, None
    identity = [memo.VERSION, config_file, config_id, policy_file, policy_id]
    memo_file = os.path.join(home, "config.memo")
    known = memo.read(memo_file, identity)
    if known is not None:
        return known
    from mcp_client.config.file import read_config, read_policy  # yaml and pydantic

    config = read_config(config_file) if config_id else None
    policy = read_policy(policy_file) if policy_id else None
    if identity == [
        memo.VERSION,
        config_file,
        memo.identify(config_file),
        policy_file,
        memo.identify(policy_file),
    ]:
        memo.write(memo_file, identity, config, policy)
    return config, policy


def _build(config: Mapping[str, Any], environ: Mapping[str, str], home: str, user: str) -> Settings:
    cache = dict(config.get("cache", {}))
    cache["dir"] = _absolute(
        environ.get("MCP_CACHE_DIR") or cache.get("dir") or os.path.join(home, "cache"), user
    )
    registry = dict(config.get("registry", {}))
    ca_file = environ.get("MCP_REGISTRY_CA_FILE") or registry.get("ca_file")
    registry["ca_file"] = _absolute(ca_file, user) if ca_file else None
    audit = dict(config.get("audit", {}))
    audit["file"] = _absolute(audit.get("file") or os.path.join(home, "audit.log"), user)
    return Settings(
        home=home,
        config_file=None,
        registry=RegistrySettings(**registry, token=environ.get("MCP_REGISTRY_TOKEN", "").strip() or None),
        cache=CacheSettings(**cache),
        executor=ExecutorSettings(**config.get("executor", {})),
        policy=_policy(config),
        sandbox=SandboxSettings(**config.get("sandbox", {})),
        audit=AuditSettings(**audit),
        log=LogSettings(**config.get("log", {})),
        runtimes={name: _absolute(path, user) for name, path in config.get("runtimes", {}).items()},
    )


def _policy(config: Mapping[str, Any]) -> PolicySettings:
    policy = config.get("policy", {})
    network = policy.get("network", {})
    return PolicySettings(
        environment_deny=tuple(policy.get("environment", {}).get("deny", ())),
        subprocess=policy.get("subprocess", True),
        network_allow=tuple(network.get("allow", PolicySettings().network_allow)),
        network_deny=tuple(network.get("deny", ())),
    )


def _override(settings: Settings, overrides: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    def given(name: str, parse: Callable[[str], T], default: T) -> T:
        if name in overrides:
            return _parse(parse, overrides[name], _FLAGS[name], "usage")
        return configured(name, parse, default)

    def configured(name: str, parse: Callable[[str], T], default: T) -> T:
        if environ.get(_VARIABLES[name]):
            return _parse(parse, environ[_VARIABLES[name]], _VARIABLES[name], "config-invalid")
        return default

    registry, executor, log = settings.registry, settings.executor, settings.log
    if overrides.get("on_missing") == "degrade":
        settings = settings._replace(sandbox=SandboxSettings("degrade"))
    return settings._replace(
        registry=registry._replace(
            url=given("registry", registry_url, registry.url),
            configured=configured("registry", registry_url, registry.url),
            offline=given("offline", switch, registry.offline),
        ),
        executor=executor._replace(
            default_timeout=given("timeout", optional_duration, executor.default_timeout)
        ),
        log=log._replace(level=given("log_level", log_level, log.level)),
    )


def _parse(parse: Callable[[str], T], text: str, source: str, code: str) -> T:
    try:
        return parse(text.strip())
    except ValueError as error:
        # A URL that was refused may be refused for the password in it.
        got = "another" if parse is registry_url else f"'{printable(text, 80)}'"
        hint = f"correct {source}" if source.startswith("-") else f"correct or unset {source}"
        raise MCPError(code, f"{source}: {error}, got {got}", hint=hint, details={"source": source}) from None


def _narrow(settings: Settings, policy: Mapping[str, Any]) -> Settings:
    """The operator's file takes away, never gives: denials add up, caps take the minimum, a refusal stays."""
    operator, caps = _policy(policy), policy.get("executor", {})
    mine, executor = settings.policy, settings.executor
    bounds = "allow" in policy.get("policy", {}).get("network", {})
    strict = policy.get("sandbox", {}).get("on_missing") == "refuse"
    return settings._replace(
        sandbox=SandboxSettings("refuse") if strict else settings.sandbox,
        policy=PolicySettings(
            environment_deny=_both(operator.environment_deny, mine.environment_deny),
            subprocess=mine.subprocess and operator.subprocess,
            network_allow=mine.network_allow,
            network_deny=_both(operator.network_deny, mine.network_deny),
            network_bound=operator.network_allow if bounds else None,
        ),
        executor=executor._replace(
            max_memory=_lower(executor.max_memory, caps.get("max_memory")),
            max_cpu=_lower(executor.max_cpu, caps.get("max_cpu")),
            max_processes=_lower(executor.max_processes, caps.get("max_processes")),
            max_fds=_lower(executor.max_fds, caps.get("max_fds")),
        ),
    )


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one + other))


def _lower(mine: int | None, cap: int | None) -> int | None:
    return cap if mine is None else mine if cap is None else min(mine, cap)


def _absolute(path: str, user: str) -> str:
    """``path`` with ``~`` expanded, absolute and without a slash at the end."""
    if path == "~" or path.startswith(("~/", "~\\")):
        path = user + path[1:]
    try:
        return os.path.abspath(path)
    except OSError as error:
        raise MCPError(
            "config-unreadable",
            f"{printable(path)} is relative, and the current folder is gone",
            hint="change to a folder that exists, or give an absolute path",
        ) from error
