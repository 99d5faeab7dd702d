import pytest

from mcp_client.registry.proxies import proxy_for
from mcp_client.registry.urls import parse_location

PROXY = "http://proxy.example:3128"


def chosen(url, **environ):
    return proxy_for(parse_location(url), environ)


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://a.example", {}, None),
        ("https://a.example", {"HTTPS_PROXY": PROXY}, PROXY),
        ("http://a.example", {"HTTPS_PROXY": PROXY}, None),
        ("http://a.example", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://a.example", {"HTTP_PROXY": PROXY}, None),
        ("https://a.example", {"ALL_PROXY": PROXY}, PROXY),
        ("https://a.example", {"ALL_PROXY": "http://other", "HTTPS_PROXY": PROXY}, PROXY),
        ("https://a.example", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ("https://a.example", {"https_proxy": "", "HTTPS_PROXY": PROXY}, PROXY),
        ("https://a.example", {"HTTPS_PROXY": " proxy.example:3128 "}, PROXY),
        # httpoxy, CVE-2016-5385
        ("http://a.example", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ("http://a.example", {"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, PROXY),
        ("https://127.0.0.1", {"ALL_PROXY": PROXY}, None),
        ("http://localhost:8080", {"ALL_PROXY": PROXY}, None),
        ("http://[::1]:8080", {"ALL_PROXY": PROXY}, None),
    ],
)
def test_the_proxy_of_a_url(url, environ, expected):
    assert chosen(url, **environ) == expected


@pytest.mark.parametrize(
    ("host", "listed", "exempt"),
    [
        ("a.example", "*", True),
        ("a.example", "a.example", True),
        ("a.example", "A.EXAMPLE", True),
        ("a.example", "example", True),
        ("a.example", ".example", True),
        ("a.example", "*.example", True),
        ("a.example", "ample", False),
        ("a.example", "b.a.example", False),
        ("a.example", "x,, a.example ,y", True),
        ("a.example", "x y a.example", True),
        ("a.example", "", False),
        ("a.example", ".", False),
        ("a.example", "*x", False),
        ("a.example:8443", "a.example:8443", True),
        ("a.example:8443", "a.example:443", False),
        ("a.example", "a.example:443", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.0.0.0/16", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "[fd00::1]:80", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "fd00::2", False),
    ],
)
def test_no_proxy(host, listed, exempt):
    assert chosen(f"https://{host}", HTTPS_PROXY=PROXY, NO_PROXY=listed) == (None if exempt else PROXY)
