"""What registries send, checked at the edge, by the core of pydantic."""

from typing import Any

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from mcp_client.choices import Status
from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution
from mcp_client.validation import one_of, optional, optional_or_null, part

LARGEST_ANSWER = 1 << 20
_LONGEST_URL = 8192
# What JSON and SQLite can hold without loss, and more than any disk.
_LARGEST_SIZE = 1 << 53


_ARTIFACT = part(
    digest=core.str_schema(),
    url=core.str_schema(min_length=1, max_length=_LONGEST_URL, pattern=r"^[^\x00-\x20\x7f]+$"),
    size_bytes=optional_or_null(core.int_schema(ge=0, le=_LARGEST_SIZE, strict=True)),
)
_ANSWER = part(
    manifest=_ARTIFACT,
    bundle=_ARTIFACT,
    status=optional_or_null(one_of(Status)),
    version=optional_or_null(core.str_schema(max_length=256, pattern=r"^[\x21-\x7e]+$")),
    # About the status; not worth refusing an answer for.
    message=optional(None, core.any_schema()),
)
_PROBLEM = part(error=core.str_schema(), message=optional("", core.str_schema()))
_ANSWERS, _PROBLEMS = SchemaValidator(_ANSWER), SchemaValidator(_PROBLEM)


def parse_answer(data: bytes, reference: PackageReference, registry: str) -> Resolution:
    """A resolve answer as a value. Raises ``registry-protocol`` or ``digest-invalid`` with the place."""
    try:
        answer = _ANSWERS.validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the answer"
        raise MCPError(
            "registry-protocol",
            f"the registry's answer for {reference} is wrong at {printable(place, 80)}: "
            f"{printable(problem['msg'], 200)}",
            hint="tell the registry's owner; the contract is docs/REGISTRY-CONTRACT.md",
        ) from None
    manifest, bundle = _descriptor("manifest", answer["manifest"]), _descriptor("bundle", answer["bundle"])
    if reference.kind == "digest" and reference.selector != f"digest:{manifest.digest}":
        raise MCPError(
            "registry-protocol",
            f"asked for {reference}, and the registry answered with the manifest {manifest.digest}",
            hint="nothing was fetched; tell the registry's owner",
        )
    version, message = answer["version"], answer["message"]
    if reference.kind == "version" and version not in {None, reference.selector}:
        raise MCPError(
            "registry-protocol",
            f"asked for {reference}, and the registry answered with the version {version}",
            hint="nothing was fetched; tell the registry's owner",
        )
    said = printable(message) if isinstance(message, str) and message else None
    return Resolution(reference, registry, manifest, bundle, answer["status"] or "published", version, said)


def parse_refusal(data: bytes) -> str | None:
    """The message of a JSON error body, or None when the body is something else."""
    try:
        problem = _PROBLEMS.validate_json(data)
    except ValidationError:
        return None
    return printable(problem["message"] or problem["error"])


def _descriptor(kind: str, artifact: dict[str, Any]) -> Descriptor:
    try:
        digest = parse_digest(artifact["digest"])
    except MCPError as error:
        message = f"the registry's answer is wrong at {kind}.digest: {error.message}"
        raise MCPError(error.code, message, hint=error.hint) from None
    return Descriptor(digest, artifact["url"], artifact["size_bytes"])
