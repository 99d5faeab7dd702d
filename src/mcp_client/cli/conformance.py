"""``mcp doctor --package``: does a registry keep its contract, asked with one of its packages."""

from collections.abc import Iterator
from typing import Any

import click

from mcp_client.acquire import check_identity
from mcp_client.app import App
from mcp_client.cache.rehearse import check_bundle
from mcp_client.cli.output import Report
from mcp_client.config.units import format_size
from mcp_client.errors import MCPError, printable
from mcp_client.manifest.parse import parse_manifest
from mcp_client.reference import PackageReference
from mcp_client.registry.client import token_for
from mcp_client.registry.conformance.artifacts import Inspect
from mcp_client.registry.conformance.examine import examine_folder, examine_web
from mcp_client.registry.conformance.finding import Finding
from mcp_client.resolution import Resolution

_LONGEST = 1000
_COLOURS = {"ok": "green", "breach": "red", "warning": "yellow", "note": "cyan"}


def conformance_report(app: App, reference: PackageReference) -> Report:
    """Examine the registry in use. Its error is ``check-failed`` when it breaks the contract.

    Raises MCPError when there is nothing to examine. What is cached is neither used nor changed.
    """
    findings = list(_examine(app, reference))
    breaches = [finding.check for finding in findings if finding.result == "breach"]
    warnings = sum(finding.result == "warning" for finding in findings)
    said = f"{len(findings)} looked at, {len(breaches)} breaches, {warnings} warnings"
    values = {
        "registry": app.registry_url,
        "package": str(reference),
        "conforms": not breaches,
        "findings": [_value(finding) for finding in findings],
    }
    return Report(values, "\n".join([*_lines(findings), "", said]), tuple(_failure(breaches)))


def _examine(app: App, reference: PackageReference) -> Iterator[Finding]:
    url, limits, cache = app.registry_url, app.settings.registry, app.settings.cache

    def manifest(path: str, resolution: Resolution) -> str:
        with open(path, "rb") as file:
            parsed = parse_manifest(file.read())
        check_identity(resolution, parsed)
        return f"{parsed.name} {parsed.version} for {', '.join(parsed.entrypoints)}"

    def bundle(path: str) -> str:
        return f"{format_size(check_bundle(path, cache))} when it is unpacked"

    inspect = Inspect(manifest, bundle)
    if url.lower().startswith(("http:", "https:")):
        yield from examine_web(url, reference, limits, token_for(url, limits, app.credentials), inspect)
    else:
        yield from examine_folder(app.registry, reference, limits, inspect)


def _failure(breaches: list[str]) -> Iterator[MCPError]:
    if breaches:
        yield MCPError(
            "check-failed",
            f"the registry breaks its contract: {', '.join(breaches)}",
            hint="docs/REGISTRY-CONTRACT.md is the contract; the lines marked 'mend' say what to do",
        )


def _value(finding: Finding) -> dict[str, Any]:
    return {**finding._asdict(), "tried": _shown(finding.tried), "got": _shown(finding.got)}


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        mark = click.style(f"{finding.result:<7}", fg=_COLOURS[finding.result])
        yield f"{finding.check:<{width}}  {mark}  {_shown(finding.got)}"
        indent = " " * (width + 2)
        if finding.result in {"breach", "warning"}:
            yield f"{indent}tried:    {_shown(finding.tried)}"
            yield f"{indent}expected: {finding.expected} (contract: {finding.section})"
            yield f"{indent}mend:     {finding.mend}"


def _shown(text: str) -> str:
    return printable(text, _LONGEST)
