"""What a token tells of itself, whose it is, and that nobody else is told."""

import base64
import json
import time

import pytest

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.registry.client import token_for
from mcp_client.registry.credentials import Credentials
from mcp_client.registry.tokens import Token, end_of, expired

URL, OTHER = "https://registry.example", "https://other.example"


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims, header=None):
    return f"{part(header or {'alg': 'RS256'})}.{part(claims)}.{part(b'signature')}"


@pytest.mark.parametrize(
    ("claims", "end"), [({"exp": 1700000000}, 1.7e9), ({"exp": 0}, 0), ({"exp": 1.5}, 1.5)]
)
def test_a_token_tells_its_end(claims, end):
    assert end_of(jwt(claims)) == end


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "opaque",
            "x" * 100_000,
            "." * 70_000,
            "\u00e9.\u00e9.\u00e9",
            "\ud800..x",
        ),
        jwt({}),
        jwt([]),
        jwt({"exp": None}),
        jwt({"exp": "1700000000"}),
        jwt({"exp": True}),
        jwt({"exp": -1}),
        jwt({"exp": [1]}),
        jwt({"exp": 1_700_000_000_000}),
        jwt(b'{"exp": NaN}'),
        jwt(b'{"exp": Infinity}'),
        jwt(b'{"exp": 1e999}'),
        jwt(b'{"exp": ' + b"9" * 400 + b"}"),
        jwt(b'{"exp": ' + b"9" * 5000 + b"}"),
        jwt(b"[" * 40_000),
        jwt(b'{"a":' * 10_000),
        jwt(b"\xff\xfe"),
        jwt(b'{"exp": 1' + b" " * 100_000 + b"}"),
        jwt({"exp": 1}, header=[1]),
        jwt({"exp": 1}, header={"no": "alg"}),
        jwt({"exp": 1}) + ".x",
        f"{part({'alg': 'x'})}.{'=' * 50}.x",
    ],
)
def test_what_is_no_such_token_passes_as_opaque(token):
    assert end_of(token) is None


def test_clocks_may_differ_a_little():
    now = time.time()
    assert not expired(now - 30)
    assert expired(now - 300)


@pytest.fixture
def credentials(tmp_path):
    return Credentials(str(tmp_path / "auth.json"))


@pytest.mark.parametrize(
    ("url", "configured", "given", "stored", "expected"),
    [
        (URL, URL, "env", None, ("env", "environment")),
        (f"{URL}/path", f"{URL}:443/other", "env", None, ("env", "environment")),
        (URL, URL, "env", "kept", ("env", "environment")),
        (URL, URL, None, "kept", ("kept", "file")),
        (URL, URL, None, None, None),
        # A flag or a lock file named this one.
        (URL, OTHER, "env", None, None),
        (URL, OTHER, "env", "kept", ("kept", "file")),
        (URL, None, "env", None, None),
        (URL, f"{URL}:8443", "env", None, None),
        (URL, "http://registry.example", "env", None, None),
        (URL, "file:///srv/mcp", "env", None, None),
    ],
)
def test_whose_token_it_is(credentials, url, configured, given, stored, expected):
    if stored:
        credentials.store(URL, stored)
    settings = RegistrySettings(url, token=given, configured=configured)
    assert token_for(url, settings, credentials) == (expected and Token(*expected))


def test_a_token_hides_itself():
    token = Token("sesame-0123456789", "file")
    assert "sesame" not in repr(token)
    assert token.hidden("it is sesame-0123456789!") == "it is ***!"
    assert token.told_in("https://x/?t=sesame-0123456789")
    assert token.told_in("https://x/%73esame%2d0123456789")
    assert not token.told_in("https://x/sesame")
    assert not Token("secret", "file").told_in("https://x/secret")


def refused(client, reference, code):
    with pytest.raises(MCPError) as caught:
        client.resolve(reference)
    error = caught.value
    assert error.code == code, error.message
    told = error.message + error.hint + str(error.details) + repr(error.__cause__)
    assert "sesame" not in told
    return error


@pytest.mark.parametrize(
    ("configured", "hint"),
    [
        (True, "set MCP_REGISTRY_TOKEN to a new token, or unset it and run: mcp login"),
        (False, "mcp login --registry "),
    ],
)
def test_a_token_that_has_ended_is_not_sent(server, open_at, kit, configured, hint):
    token = jwt({"exp": int(time.time()) - 3600, "sub": "sesame"})
    client = (
        open_at(server.url, token=token) if configured else open_at(server.url, stored=token, configured=None)
    )
    error = refused(client, kit.one, "token-expired")
    assert error.hint.startswith(hint)
    assert token not in error.message
    assert server.log == []


def test_one_that_has_not_is(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    token = jwt({"exp": int(time.time()) - 10})
    open_at(server.url, token=token).resolve(kit.one)
    assert server.log[0].token == f"Bearer {token}"


def test_an_ended_token_is_no_trouble_where_it_is_not_sent(server, new_server, open_at, kit):
    other = new_server()
    other.routes["/artifact"] = kit.send(200, b"data")
    client = open_at(server.url, token=jwt({"exp": 1}))
    assert b"".join(client.fetch(kit.descriptor(b"data", f"{other.url}/artifact"), 100)) == b"data"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({}, "mcp login"),
        ({"stored": "x-sesame"}, "mcp login"),
        ({"configured": None}, "mcp login --registry http://127.0.0.1:"),
        ({"token": "x-sesame"}, "set MCP_REGISTRY_TOKEN to a new token, or unset it and run: mcp login"),
        ({"token": "x-sesame", "configured": OTHER}, "mcp login --registry http://127.0.0.1:"),
    ],
)
def test_how_to_get_another_token(server, open_at, kit, options, hint):
    server.routes[kit.resolve] = kit.send(401, b"{}")
    error = refused(open_at(server.url, **options), kit.one, "unauthorized")
    assert error.hint.startswith(hint)
    assert ("MCP_REGISTRY_TOKEN is only for" in error.hint) == (options.get("configured") == OTHER)


SECRET = "sesame-0123456789"


@pytest.mark.parametrize(
    "place",
    [
        lambda kit, text: kit.send(403, {"error": text, "message": text}),
        lambda kit, text: kit.send(500, {"error": text, "message": text, "details": {text: text}}),
        lambda kit, text: kit.redirect(f"/{text}", 307),
        lambda kit, text: kit.redirect(f"http://127.0.0.1:1/{text}", 307),
        lambda kit, text: kit.redirect(f"http://elsewhere.example/{text}", 307),
        lambda kit, text: kit.redirect(f"http://{text}.example/", 307),
        lambda kit, text: kit.send(200, {**kit.answer, "version": text}),
        lambda kit, text: kit.send(200, {**kit.answer, "bundle": {**kit.answer["bundle"], "digest": text}}),
        lambda kit, text: kit.send(
            200, {**kit.answer, "bundle": {**kit.answer["bundle"], "url": f"/{text}"}}
        ),
        lambda kit, text: kit.send(200, {**kit.answer, "status": text}),
        lambda kit, text: kit.send(200, {text: text}),
        lambda kit, text: kit.send(200, text.encode()),
        lambda kit, text: kit.send(206, b"", {"Content-Range": text}),
    ],
)
def test_a_token_that_comes_back_is_not_told(server, open_at, kit, place):
    server.routes[kit.resolve] = place(kit, SECRET)
    with pytest.raises(MCPError) as caught:
        open_at(server.url, token=SECRET).resolve(kit.one)
    error = caught.value
    while error is not None:
        assert SECRET not in f"{error} {getattr(error, 'hint', '')} {getattr(error, 'details', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_token_in_a_url_is_not_carried_elsewhere(server, new_server, open_at, kit):
    other = new_server()
    server.routes["/artifact"] = kit.redirect(f"{other.url}/x?token={SECRET}")
    with pytest.raises(MCPError) as caught:
        b"".join(open_at(server.url, token=SECRET).fetch(kit.descriptor(b"data"), 100))
    assert caught.value.code == "registry-protocol"
    assert other.log == []
