import pytest

from mcp_client.errors import MCPError
from mcp_client.registry.urls import origin_of, parse_location, shown


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Host.Example", "https://host.example"),
        ("https://host.example:443/v1", "https://host.example"),
        ("HTTPS://host.example.:8443/?q#f", "https://host.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://host:", "https://host"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]"),
        ("embedded", "embedded"),
        ("file:///srv/mcp", "file:///srv/mcp"),
    ],
)
def test_origins_have_one_spelling(url, origin):
    assert origin_of(url) == origin


def test_what_is_asked_is_spelled_as_what_was_checked():
    location = parse_location("https://HOST.example.:443/a//b/../c?x=%2F#secret")
    assert location.url == "https://host.example/a//b/../c?x=%2F"


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///path",
        "https://.",
        "https://host:port",
        "https://host:99999",
        "https://[::1",
        "https://[::1]evil.example/",
        "https://[v1.evil.example]/",
        "https://[host.example]/",
        "https://[fe80::1%25eth0]/x",
        "https://user:pw@host/",
        "https://@host/",
        "https://host\\@evil.example/",
        "https://ho%73t/",
        "https://ho,st/",
        "https://host/a b",
        "https://host/\x00",
        "https://host/\x1b[2J",
        "https://host/\r\nHost: evil.example",
        "https://h\u00f6st/",
        "https://host/\u202e",
        "ftp://host/",
        "file:///etc/passwd",
        "//host/path",
        "",
    ],
)
def test_what_is_no_location(url):
    with pytest.raises(ValueError, match=r"\A[A-Za-z ]+\Z") as caught:
        parse_location(url)
    assert "evil" not in str(caught.value)


def test_a_registry_that_is_no_url_is_an_error_without_its_secrets():
    with pytest.raises(MCPError) as caught:
        origin_of("https://user:sesame@host:x/?token=sesame#sesame")
    assert caught.value.code == "config-invalid"
    assert "sesame" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "[::1]", "[0::1]"])
def test_loopback(host):
    assert parse_location(f"http://{host}/").loopback


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.example",
        "0.0.0.0",
        "localhost.example",
        "notlocalhost",
        "10.0.0.1",
        "[::]",
        "[::2]",
    ],
)
def test_what_only_looks_like_loopback(host):
    assert not parse_location(f"http://{host}/").loopback


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "0177.0.0.1", "127.0.0.01", "2130706433", "0x7f.1", "0x7f000001", "1.0x"),
        *("256.0.0.1", "1.2.3", "a.127", "00"),
    ],
)
def test_an_address_in_a_spelling_that_is_read_in_two_ways(host):
    with pytest.raises(ValueError, match="unusual spelling"):
        parse_location(f"http://{host}/")


@pytest.mark.parametrize("host", ["0x7f.1.example", "1.2.3.example", "1e100.net", "x0", "0xfg"])
def test_a_name_that_only_looks_like_an_address(host):
    assert parse_location(f"https://{host}/").host == host


@pytest.mark.parametrize("port", ["0", "00", "65536", "99999", "-1", "+1", "1_0", "\u0661", " 1", "0x50"])
def test_ports_that_no_server_has(port):
    with pytest.raises(ValueError):
        parse_location(f"https://host:{port}/")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:sesame@host/path",
        "https://host/path?X-Amz-Signature=sesame",
        "https://host/path#sesame",
        "https:user:sesame@host",
        "user:sesame@host",
        "https://[sesame/",
    ],
)
def test_secrets_in_urls_are_not_shown(url):
    assert "sesame" not in shown(url)


def test_urls_cannot_steer_the_terminal():
    assert shown("https://host/\x1b]0;owned\x07/\u202e").isprintable()
    assert len(shown("https://host/" + "x" * 10_000)) <= 200
