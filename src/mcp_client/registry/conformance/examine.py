"""The whole examination of a registry by one of its packages. Nothing is kept, and nothing is run."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.registry.client import RegistryClient
from mcp_client.registry.conformance.artifacts import (
    Inspect,
    judge_bytes,
    judge_download,
    judge_range,
    urls_of,
)
from mcp_client.registry.conformance.exchange import Asker, Exchange
from mcp_client.registry.conformance.finding import Finding, finding
from mcp_client.registry.conformance.resolving import Resolving, judge_status
from mcp_client.registry.tokens import Token
from mcp_client.registry.urls import shown
from mcp_client.resolution import Descriptor, Resolution


def examine_web(
    url: str, reference: PackageReference, settings: RegistrySettings, token: Token | None, inspect: Inspect
) -> Iterator[Finding]:
    """Everything the contract says of a registry at an http or https URL.

    Raises MCPError where there is nothing to examine: it cannot be reached, wants a token, or has no such
    package.
    """
    asker = Asker(url, settings, token)
    try:
        resolving = Resolving(asker, reference)
        yield from resolving.judge_dialects()
        yield from resolving.judge_more()
        if token is not None:
            anonymous = Asker(url, settings, None)
            try:
                yield from resolving.judge_without_token(anonymous)
            finally:
                anonymous.close()
        if resolving.resolution is not None:
            yield from _judge_artifacts(resolving.resolution, asker, settings, inspect)
    finally:
        asker.close()


def examine_folder(
    client: RegistryClient, reference: PackageReference, settings: RegistrySettings, inspect: Inspect
) -> Iterator[Finding]:
    """What of the contract a folder can keep or break. Raises like examine_web()."""
    tried = f"read the answer for {reference.selector}"
    try:
        resolution = client.resolve(reference)
    except MCPError as error:
        if error.code not in {"registry-protocol", "digest-invalid"}:
            raise
        yield finding("answer", False, tried, error.message)
        return
    yield finding(
        "answer", True, tried, f"manifest {resolution.manifest.digest}, bundle {resolution.bundle.digest}"
    )
    alias = reference._replace(kind="digest", selector=f"digest:{resolution.manifest.digest}")
    yield _judge_alias(lambda: client.resolve(alias), resolution, alias)
    nobody = reference._replace(kind="version", selector=f"0.0.0-mcp-doctor.{secrets.token_hex(4)}x")
    yield _judge_nobody(lambda: client.resolve(nobody), nobody)
    yield judge_status(resolution)
    yield urls_of(resolution)
    with tempfile.TemporaryDirectory(prefix="mcp-doctor-") as scratch:
        for kind, artifact, limit in _artifacts(resolution, settings):
            path, tried = os.path.join(scratch, kind), f"read {shown(artifact.url)}"
            try:
                with open(path, "wb") as file:
                    # Without its size: a wrong one is to be told as such.
                    file.writelines(client.fetch(artifact._replace(size=None), limit))
            except MCPError as error:
                yield finding(f"fetch: {kind}", False, tried, error.message)
                continue
            yield from judge_bytes(kind, artifact, path, resolution, inspect, tried)


def _judge_artifacts(
    resolution: Resolution, asker: Asker, settings: RegistrySettings, inspect: Inspect
) -> Iterator[Finding]:
    yield judge_status(resolution)
    yield urls_of(resolution)
    with tempfile.TemporaryDirectory(prefix="mcp-doctor-") as scratch:
        for kind, artifact, limit in _artifacts(resolution, settings):
            path = os.path.join(scratch, kind)
            whole: Exchange | None = None
            for one in judge_download(kind, artifact, asker, path, limit):
                if isinstance(one, Exchange):
                    whole = one
                else:
                    yield one
            if whole is None:
                continue
            yield from judge_bytes(kind, artifact, path, resolution, inspect, whole.tried)
            if kind == "bundle":
                yield from judge_range(artifact, whole, asker, path)


def _artifacts(resolution: Resolution, settings: RegistrySettings) -> list[tuple[str, Descriptor, int]]:
    return [
        ("manifest", resolution.manifest, settings.max_manifest),
        ("bundle", resolution.bundle, settings.max_bundle),
    ]


def _judge_alias(ask: Callable[[], Resolution], resolution: Resolution, alias: PackageReference) -> Finding:
    tried = f"read the answer for {alias.selector}"
    try:
        now = ask()
    except MCPError as error:
        return finding("digest alias", False, tried, error.message)
    return finding("digest alias", now.digests == resolution.digests, tried, f"bundle {now.bundle.digest}")


def _judge_nobody(ask: Callable[[], Resolution], nobody: PackageReference) -> Finding:
    tried = f"read the answer for {nobody.selector}"
    try:
        ask()
    except MCPError as error:
        return finding("unknown reference", error.code == "package-not-found", tried, error.message)
    return finding("unknown reference", False, tried, "an answer")
