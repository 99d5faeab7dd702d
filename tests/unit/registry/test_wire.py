import json

import pytest

from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.registry.wire import parse_answer, parse_refusal

REFERENCE = parse_reference("acme/one@1.2.3")
HEX, OTHER = "a" * 64, "b" * 64


def form(**changes):
    answer = {
        "version": "1.2.3",
        "status": "deprecated",
        "manifest": {"digest": f"sha256:{HEX}", "url": "/m", "size_bytes": 5},
        "bundle": {"digest": f"sha256:{OTHER}", "url": "https://host/b?sig=1", "later": 1},
        "unknown": [1],
    }
    for path, value in changes.items():
        *folders, name = path.split("__")
        place = answer
        for folder in folders:
            place = place[folder]
        place[name] = value
    return answer


def parse(reference=REFERENCE, **changes):
    return parse_answer(json.dumps(form(**changes)).encode(), reference, "https://registry.example")


def refused(*args, code="registry-protocol", **changes):
    with pytest.raises(MCPError) as caught:
        parse(*args, **changes)
    assert caught.value.code == code
    assert caught.value.message.isprintable()
    return caught.value.message


def test_an_answer():
    resolution = parse()
    assert resolution.reference == REFERENCE
    assert resolution.registry == "https://registry.example"
    assert (resolution.manifest.digest.hex, resolution.manifest.url, resolution.manifest.size) == (
        HEX,
        "/m",
        5,
    )
    assert (resolution.bundle.digest.hex, resolution.bundle.size) == (OTHER, None)
    assert (resolution.status, resolution.version) == ("deprecated", "1.2.3")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("manifest__url", ""),
        ("manifest__url", "/a\0b"),
        ("manifest__url", "/a\x1bb"),
        ("manifest__url", "/a b"),
        ("manifest__url", "/" + "x" * 10_000),
        ("manifest__url", 5),
        ("bundle__size_bytes", -1),
        ("bundle__size_bytes", 10**30),
        ("bundle__size_bytes", "5"),
        ("bundle__size_bytes", True),
        ("bundle__size_bytes", 1.5),
        ("status", "fine"),
        ("version", "1.2.3\x1b[2J"),
        ("version", "1" * 300),
        ("manifest", None),
        ("bundle", []),
    ],
)
def test_a_wrong_field_is_named(place, value):
    assert place.replace("__", ".") in refused(**{place: value})


@pytest.mark.parametrize("digest", ["sha256:../../x", "", "sha256:" + "A" * 64, "sha1:" + "a" * 40, HEX])
def test_a_digest_that_is_none(digest):
    assert "bundle.digest" in refused(code="digest-invalid", bundle__digest=digest)


def test_another_version_than_asked_for():
    assert "1.2.4" in refused(version="1.2.4")


def test_a_digest_reference_is_held_to_its_digest():
    assert parse(parse_reference(f"acme/one@digest:sha256:{HEX}")).manifest.digest.hex == HEX
    refused(parse_reference(f"acme/one@digest:sha256:{OTHER}"))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"null", b"[]", b"{" * 100_000, b'{"manifest": {"digest": NaN}}', b"<html>"]
)
def test_garbage(data):
    with pytest.raises(MCPError) as caught:
        parse_answer(data, REFERENCE, "")
    assert caught.value.code == "registry-protocol"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "not_found", "message": "no such version"}', "no such version"),
        (b'{"error": "not_found"}', "not_found"),
        (b'{"error": "x", "message": "\\u001b[31mred\\u202e"}', "\\x1b[31mred\\x202e"),
        (b'{"error": {"code": 1}}', None),
        (b'{"message": "no"}', None),
        (b"Not Found", None),
        (b"", None),
    ],
)
def test_the_words_of_a_refusal(body, words):
    assert parse_refusal(body) == words


def test_a_refusal_has_few_words():
    assert len(parse_refusal(json.dumps({"error": "x", "message": "y" * 9999}).encode()) or "") <= 300
