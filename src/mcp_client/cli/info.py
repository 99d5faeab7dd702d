"""``mcp info``: what a package is and what it asks for, without its bundle."""

import time
from typing import Any

import click

from mcp_client.acquire import Described, describe
from mcp_client.app import App
from mcp_client.cli.controls import controls_table
from mcp_client.cli.flags import LOCK_FILE
from mcp_client.cli.options import json_option, offline_option, registry_option
from mcp_client.cli.output import Report, fields
from mcp_client.cli.reference import REFERENCE
from mcp_client.config.units import format_size
from mcp_client.errors import MCPError, printable
from mcp_client.lock import read_lock
from mcp_client.manifest.model import ConfigOption, Entrypoint, Manifest
from mcp_client.policy.decide import Grants, decide
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution, Standing
from mcp_client.sandbox.spec import Control

_LONGEST = 1000
_LOCK_STATES = {True: f"yes, in {LOCK_FILE}", False: f"{LOCK_FILE} names other bytes", None: ""}


@click.command(short_help="Show what a package is and what it asks for.")
@click.argument("reference", metavar="REF", type=REFERENCE)
@registry_option
@offline_option
@json_option
@click.pass_obj
def info(app: App, reference: PackageReference, registry: str | None, offline: str | None) -> Report:
    """Show what the package REF is, what it asks for, and whether it is in the cache.

    Only the manifest is fetched, and only when it is not in the cache.

    \b
    Examples:
      mcp info acme/hello-world@1.2.3
      mcp info acme/hello-world@1.2.3 --json
      mcp info acme/hello-world@1.2.3 --registry file:///srv/mcp
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry, "offline": offline})
    described = describe(app, reference)
    resolution, manifest, _, _ = described
    locked = _locked(resolution)
    controls = _controls(app, manifest)
    values = {
        **_values(described, locked=locked),
        "controls": [control._asdict() for control in controls],
    }
    heading = click.style("on this machine", bold=True)
    here = ["", heading, controls_table(controls)] if controls else []
    return Report(values, "\n".join([_text(described, locked=locked), *here]))


def _locked(resolution: Resolution) -> bool | None:
    """Whether the lock file of this folder binds it to the same bytes; None when it says nothing about it."""
    try:
        known = read_lock(LOCK_FILE).get(resolution.reference)
    except MCPError:
        return None
    return None if known is None else known.digests == resolution.digests


def _controls(app: App, manifest: Manifest) -> tuple[Control, ...]:
    """How far this machine would hold the package to what it asks for; nothing where there is no sandbox."""
    settings = app.settings
    grants = Grants({}, ())
    policy = decide(manifest, grants, operator=settings.policy, caps=settings.executor, host_environment={})
    try:
        return app.backend.forecast(policy, None if manifest.http is None else manifest.http.port)
    except MCPError as error:
        return (Control("sandbox", "all together", "unavailable", error.message, error.hint),)


def _values(described: Described, *, locked: bool | None) -> dict[str, Any]:
    resolution, manifest, standing, cached = described
    moved = standing.moved and {"manifest": str(standing.moved[0]), "bundle": str(standing.moved[1])}
    return {
        "reference": str(resolution.reference),
        "registry": resolution.registry,
        "status": resolution.status,
        "message": resolution.message,
        "moved": moved,
        "checked": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(standing.checked))
        if standing.checked
        else None,
        "cached": cached,
        "locked": locked,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "author": manifest.author,
        "license": manifest.license,
        "transport": manifest.transport,
        "manifest": _descriptor_values(resolution.manifest),
        "bundle": _descriptor_values(resolution.bundle),
        "entrypoints": {
            platform: {"command": entry.command, "args": list(entry.args), "env": dict(entry.env)}
            for platform, entry in manifest.entrypoints.items()
        },
        "asks": {
            "environment": {"allowed": list(manifest.allowed_env), "denied": list(manifest.denied_env)},
            "network": list(manifest.network),
            "subprocess": manifest.subprocess,
            "resources": manifest.resources._asdict(),
            "runtime": dict(manifest.runtime),
            "commands": list(manifest.required_commands),
            "data_folder": manifest.data_folder,
            "options": {name: option._asdict() for name, option in manifest.config.items()},
            "http": manifest.http._asdict() if manifest.http else None,
        },
    }


def _descriptor_values(descriptor: Descriptor) -> dict[str, Any]:
    return {"digest": str(descriptor.digest), "size": descriptor.size}


def _text(described: Described, *, locked: bool | None) -> str:
    resolution, manifest, standing, cached = described
    title = click.style(f"{manifest.name} {manifest.version}", bold=True)
    about = [title, *([_shown(manifest.description)] if manifest.description else []), ""]
    facts = [
        ("reference", str(resolution.reference)),
        ("registry", _shown(resolution.registry)),
        ("status", _status(resolution)),
        ("moved", _moved(standing)),
        ("checked", _when(standing.checked)),
        ("cached", "yes" if cached else "no"),
        ("locked", _LOCK_STATES[locked]),
        ("author", _shown(manifest.author)),
        ("license", _shown(manifest.license)),
        ("transport", _transport(manifest)),
        ("manifest", _descriptor(resolution.manifest)),
        ("bundle", _descriptor(resolution.bundle)),
        ("runs", "\n".join(_entrypoint(*item) for item in manifest.entrypoints.items())),
    ]
    asks = [
        ("variables", _variables(manifest)),
        ("network", _list(manifest.network) or "none"),
        ("processes", "may start other programs" if manifest.subprocess else "starts no other programs"),
        ("limits", _limits(manifest)),
        ("runtime", _list([f"{name} {version}" for name, version in manifest.runtime.items()])),
        ("commands", _list(manifest.required_commands)),
        ("data folder", "a private folder that is kept between runs" if manifest.data_folder else ""),
        ("options", "\n".join(_option(*item) for item in manifest.config.items())),
    ]
    heading = click.style("asks for", bold=True)
    return "\n".join([*about, fields(_present(facts)), "", heading, fields(_present(asks))])


def _transport(manifest: Manifest) -> str:
    if manifest.http is None:
        return manifest.transport
    told = f"{manifest.transport}, port {manifest.http.port} inside, path {manifest.http.path}"
    return _shown(f"{told}, ready when {manifest.http.health} answers" if manifest.http.health else told)


def _present(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if value]


def _status(resolution: Resolution) -> str:
    colour = {"published": None, "deprecated": "yellow"}.get(resolution.status, "red")
    shown = click.style(resolution.status, fg=colour) if colour else resolution.status
    return f"{shown}: {_shown(resolution.message)}" if resolution.message else shown


def _when(checked: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(checked)) if checked else "never"


def _moved(standing: Standing) -> str:
    if standing.moved is None:
        return ""
    manifest, bundle = standing.moved
    return click.style(f"the registry now says manifest {manifest}\nwith bundle {bundle}", fg="red")


def _descriptor(descriptor: Descriptor) -> str:
    size = "" if descriptor.size is None else f"  {format_size(descriptor.size)}"
    return f"{descriptor.digest}{size}"


def _entrypoint(platform: str, entry: Entrypoint) -> str:
    return _shown(f"{platform}: {' '.join([entry.command, *entry.args])}")


def _variables(manifest: Manifest) -> str:
    allowed = _list(manifest.allowed_env) or "none"
    return f"{allowed}\nnever {_list(manifest.denied_env)}" if manifest.denied_env else allowed


def _limits(manifest: Manifest) -> str:
    asked = manifest.resources
    parts = [
        f"{asked.memory_mb} MB of memory" if asked.memory_mb else "",
        f"{asked.cpu_millicores / 1000:g} cores" if asked.cpu_millicores else "",
        f"{asked.max_processes} processes" if asked.max_processes else "",
        f"{asked.max_fds} descriptors" if asked.max_fds else "",
    ]
    return ", ".join(part for part in parts if part) or "the defaults"


def _option(name: str, option: ConfigOption) -> str:
    facts = [
        *(["required"] if option.required else []),
        *(["several"] if option.multiple else []),
        *([option.access] if option.type in {"file", "directory"} else []),
        *([f"default {_default(option)}"] if option.default is not None else []),
    ]
    shown = f"--set {name}=<{option.type}>" + (f" ({', '.join(facts)})" if facts else "")
    return _shown(f"{shown}: {option.description}" if option.description else shown)


def _default(option: ConfigOption) -> str:
    return option.default if isinstance(option.default, str) else " ".join(option.default or ())


def _list(values: "tuple[str, ...] | list[str]") -> str:
    return _shown(", ".join(values))


def _shown(text: str) -> str:
    return printable(text, _LONGEST)
