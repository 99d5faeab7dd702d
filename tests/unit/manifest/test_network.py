import pytest

from mcp_client.manifest.network import normal_entry


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.com:443", "api.example.com:443"),
        ("*.example.com", "*.example.com"),
        ("*.example.com:8443", "*.example.com:8443"),
        ("localhost", "localhost"),
        ("_srv.example.com", "_srv.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8:443", "10.0.0.0/8:443"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[::1]", "::1"),
        ("[::1]:443", "[::1]:443"),
        ("[2001:db8::/32]:443", "[2001:db8::/32]:443"),
    ],
)
def test_entries_have_one_spelling(text, normal):
    assert normal_entry(text) == normal
    assert normal_entry(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "*", "*.", "**.example.com", "a.*.com", "*example.com", ".example.com", "example.com.",
        "a..b", "http://example.com", "example.com/path", "user@example.com", "example.com:",
        "example.com:0", "example.com:65536", "example.com:080", "example.com:http", "example.com:443:443",
        "-a.example", "a-.example", "a b", "a\tb", "a\n", "a\u0000b", "ex\u00e4mple.com", "127.1",
        "2130706433", "0x7f.0.0.1", "0x7f000001", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "example.1",
        "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "*.10.0.0.1",
        "fe80::1%eth0/64", "[::1", "[::1]443", "[::1]:", "[10.0.0.1]:80", "[example.com]:80", "[]", ":443",
        "::1::2", "2001:db8::1/32", "\u0661\u0662\u0667.0.0.1", "example.com:\u0664\u0664\u0663",
        "a" * 64 + ".com", ".".join(["a" * 60] * 5),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ValueError, match="expected host"):
        normal_entry(text)
