"""What registries send, checked at the edge."""

from pydantic import BaseModel, Field, ValidationError

from mcp_client.choices import Status
from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution

LARGEST_ANSWER = 1 << 20
_LONGEST_URL = 8192
# What JSON and SQLite can hold without loss, and more than any disk.
_LARGEST_SIZE = 1 << 53


class _Artifact(BaseModel):
    digest: str
    url: str = Field(min_length=1, max_length=_LONGEST_URL, pattern=r"^[^\x00-\x20\x7f]+$")
    size_bytes: int | None = Field(default=None, ge=0, le=_LARGEST_SIZE, strict=True)


class _Answer(BaseModel):
    manifest: _Artifact
    bundle: _Artifact
    status: Status | None = None
    version: str | None = Field(default=None, max_length=256, pattern=r"^[\x21-\x7e]+$")
    # About the status; not worth refusing an answer for.
    message: object = None


class _Problem(BaseModel):
    error: str
    message: str = ""


def parse_answer(data: bytes, reference: PackageReference, registry: str) -> Resolution:
    """A resolve answer as a value. Raises ``registry-protocol`` or ``digest-invalid`` with the place."""
    try:
        answer = _Answer.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the answer"
        raise MCPError(
            "registry-protocol",
            f"the registry's answer for {reference} is wrong at {printable(place, 80)}: "
            f"{printable(problem['msg'], 200)}",
            hint="tell the registry's owner; the contract is docs/REGISTRY-CONTRACT.md",
        ) from None
    manifest, bundle = _descriptor("manifest", answer.manifest), _descriptor("bundle", answer.bundle)
    if reference.kind == "digest" and reference.selector != f"digest:{manifest.digest}":
        raise MCPError(
            "registry-protocol",
            f"asked for {reference}, and the registry answered with the manifest {manifest.digest}",
            hint="nothing was fetched; tell the registry's owner",
        )
    if reference.kind == "version" and answer.version not in {None, reference.selector}:
        raise MCPError(
            "registry-protocol",
            f"asked for {reference}, and the registry answered with the version {answer.version}",
            hint="nothing was fetched; tell the registry's owner",
        )
    message = printable(answer.message) if isinstance(answer.message, str) and answer.message else None
    return Resolution(
        reference, registry, manifest, bundle, answer.status or "published", answer.version, message
    )


def parse_refusal(data: bytes) -> str | None:
    """The message of a JSON error body, or None when the body is something else."""
    try:
        problem = _Problem.model_validate_json(data)
    except ValidationError:
        return None
    return printable(problem.message or problem.error)


def _descriptor(kind: str, artifact: _Artifact) -> Descriptor:
    try:
        digest = parse_digest(artifact.digest)
    except MCPError as error:
        message = f"the registry's answer is wrong at {kind}.digest: {error.message}"
        raise MCPError(error.code, message, hint=error.hint) from None
    return Descriptor(digest, artifact.url, artifact.size_bytes)
