"""The rules that are looked at, and what was found."""

from typing import Literal, NamedTuple

Result = Literal["ok", "breach", "warning", "note"]
Level = Literal["must", "should"]


class Rule(NamedTuple):
    """One promise of docs/REGISTRY-CONTRACT.md, in the section of that heading, and the mend for a breach."""

    level: Level
    section: str
    expected: str
    mend: str


class Finding(NamedTuple):
    """What was tried, what was expected, and what came. ``mend`` only where something is to be mended."""

    check: str
    result: Result
    tried: str
    expected: str
    section: str
    got: str
    mend: str | None


RULES = {
    "dialect": Rule(
        "must",
        "Dialects",
        "one dialect answers with 200; those asked before it say 405, 501, or 404 without a JSON error",
        "answer the dialects that are not spoken with 405, or with 404 and no JSON error body",
    ),
    "answer": Rule(
        "must",
        "Answer",
        "a JSON object with manifest and bundle, each with digest and url, of 1 MB at most",
        "send what the table of fields says; docs/openapi.yaml has it as a schema",
    ),
    "answer fields": Rule(
        "should",
        "Answer",
        "version, status and both size_bytes are there",
        "add them: clients tell the status, and refuse a wrong size before they download it",
    ),
    "answer type": Rule(
        "should", "Answer", "Content-Type: application/json", "send Content-Type: application/json"
    ),
    "dialects agree": Rule(
        "must",
        "Immutability",
        "every dialect that is spoken gives the same digests",
        "serve all dialects from the same records",
    ),
    "immutability": Rule(
        "must",
        "Immutability",
        "the same question gets the same digests",
        "never let a version, commit or digest mean something else; publish a new version",
    ),
    "version": Rule(
        "must",
        "Immutability",
        "the version in an answer resolves to the same manifest",
        "send the version under which the same artifacts are published, or none",
    ),
    "digest alias": Rule(
        "must",
        "Resolve",
        "digest:<the manifest's digest> resolves to the same artifacts",
        "answer digest: references; a static registry needs the file digest-sha256-<hex>.json",
    ),
    "unknown reference": Rule(
        "must",
        "Errors",
        "404 for a version that does not exist",
        "send 404; an object store needs the right to list, or it says 403",
    ),
    "error body": Rule(
        "should",
        "Errors",
        "a JSON object with error and message",
        'send {"error": "not_found", "message": "..."} as application/json',
    ),
    "authentication": Rule(
        "must",
        "Authentication",
        "without a token: 401 from a private registry, 200 from a public one",
        "send 401 for a missing token, so that people are told to run mcp login",
    ),
    "redirects": Rule(
        "must",
        "Redirects",
        "10 at most, never from https to http, to a place that needs no token of ours",
        "lead to a URL that everybody who has it may fetch, such as a presigned one",
    ),
    "caching": Rule(
        "should",
        "Caching",
        "no cache may keep a resolve answer longer than a day",
        "send Cache-Control: no-cache or a short max-age with resolve answers, since a status can change",
    ),
    "time": Rule("should", "Bounds", "a resolve answer within 2 s", "answer faster, or put a cache in front"),
    "artifact url": Rule(
        "must",
        "Artifacts",
        "a URL that can be used: absolute, or relative to the registry's URL",
        "write https URLs, or paths below the registry's own URL",
    ),
    "fetch": Rule(
        "must",
        "Artifacts",
        "200 and the whole artifact",
        "serve both artifacts by GET at the URLs of the answer",
    ),
    "digest": Rule(
        "must",
        "Artifacts",
        "bytes with the SHA-256 of the answer",
        "serve the bytes that were published; check what stands between, such as a proxy that rewrites",
    ),
    "size": Rule(
        "must", "Answer", "as many bytes as size_bytes says", "send the artifact's own size, or none"
    ),
    "length": Rule(
        "should", "Artifacts", "Content-Length", "send Content-Length, so that a cut download is noticed"
    ),
    "encoding": Rule(
        "should",
        "Artifacts",
        "no Content-Encoding: the request says Accept-Encoding: identity",
        "do not compress, and do not call a stored .gz an encoding",
    ),
    "ranges": Rule(
        "should", "Artifacts", "206 for a part of the bundle", "support Range, so that broken downloads go on"
    ),
    "range": Rule(
        "must",
        "Artifacts",
        "whoever sends 206 sends exactly the part that was asked for, and says which",
        "send Content-Range: bytes START-END/SIZE and those bytes, or ignore Range and send 200",
    ),
    "validator": Rule(
        "should",
        "Artifacts",
        "a strong ETag or Last-Modified with artifacts that support Range",
        'send an ETag such as "<the digest>"',
    ),
    "manifest": Rule(
        "must",
        "Manifest",
        "a valid manifest of this package and version",
        "publish it anew, as a new version",
    ),
    "bundle": Rule("must", "Bundle", "an archive that can be unpacked", "publish it anew, as a new version"),
    "status": Rule(
        "should",
        "Status",
        "published or deprecated: the package may run",
        "nothing, if it was withdrawn on purpose",
    ),
}


def finding(check: str, fine: bool, tried: str, got: str) -> Finding:
    """Whether the rule ``check`` is kept; ``check`` may name what is meant after a colon."""
    rule = RULES[check.partition(": ")[0]]
    result: Result = "ok" if fine else "breach" if rule.level == "must" else "warning"
    return Finding(check, result, tried, rule.expected, rule.section, got, None if fine else rule.mend)


def note(check: str, tried: str, got: str) -> Finding:
    """Something worth knowing that no rule asks for."""
    rule = RULES[check.partition(": ")[0]]
    return Finding(check, "note", tried, rule.expected, rule.section, got, None)
