"""A registry elsewhere: whom it may lead to, whose certificates are believed, what proxies see."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from kit import programs
from kit.command import Mcp, Result, refused
from kit.distant import PROXY, SOCKS, Distant

PACKAGE = programs.single()
REFERENCE = PACKAGE.reference
HOME = "https://registry.reach.example"
TOKEN = "sesame-71d0c2aa94"
PROXY_URL = f"http://proxy-user:proxy-pass%20word@{PROXY[0]}:{PROXY[1]}"

SOCKS_URL = f"socks5h://proxy-user:proxy-pass%20word@{SOCKS[0]}:{SOCKS[1]}"


class Far(Mcp):
    """``mcp`` in the network of the tests, trusting its authority."""

    distant: Distant

    def pull(self, **env: str) -> Result:
        return self.run("pull", REFERENCE, prefix=self.distant.prefix, env=env)

    def pull_from(self, bundle: str, *, insecure: bool = False, **env: str) -> Result:
        """Pull when the registry says that the bundle is at ``bundle``."""
        self.configure(
            f"registry:\n  insecure: {str(insecure).lower()}\n  connect_timeout: 2s\n  timeout: 5s\n"
        )
        self.distant.set(answer=_answer(bundle))
        return self.pull(**env)


def _answer(bundle: str) -> dict[str, Any]:
    manifest, digest = PACKAGE.digests
    return {
        "manifest": {"digest": manifest, "url": f"/artifacts/manifest/{manifest}"},
        "bundle": {"digest": digest, "url": f"{bundle}/artifacts/bundle/{digest}"},
    }


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distant]:
    with Distant(str(tmp_path_factory.mktemp("distant")), PACKAGE) as network:
        yield network


@pytest.fixture
def far(tmp_path: os.PathLike[str], distant: Distant) -> Far:
    command = Far(str(tmp_path), HOME)
    command.distant = distant
    command.env["MCP_REGISTRY_CA_FILE"] = distant.certificate
    distant.set()
    return command


OPEN = [
    ("https://store.reach.example", False, HOME),
    # Without a certificate for its name it gets no request, so a private store is no danger.
    ("https://private.reach.example", False, HOME),
    ("https://broken.reach.example", False, HOME),
    ("http://store.reach.example", True, "http://registry.reach.example"),
    ("http://neighbour.reach.example", True, "http://private.reach.example"),
    ("http://10.20.0.2", True, "http://private.reach.example"),
    # The registry itself may be wherever the user says.
    ("", True, "http://private.reach.example"),
    ("", False, "https://inner.reach.example"),
    ("", True, "http://metadata.reach.example"),
    ("http://127.0.0.1", True, "http://127.0.0.1"),
]


@pytest.mark.parametrize(("bundle", "insecure", "home"), OPEN)
def test_where_a_registry_may_lead(far: Far, bundle: str, insecure: bool, home: str) -> None:
    result = far.pull_from(bundle, insecure=insecure, MCP_REGISTRY_URL=home)
    assert result.status == 0, result.stderr


CLOSED = [
    ("https://inner.reach.example", False, "this machine"),
    ("https://mixed.reach.example", False, "this machine"),
    ("https://mapped.reach.example", False, "this machine"),
    ("https://[::]", False, "this machine"),
    ("https://metadata.reach.example", False, "metadata"),
    ("http://169.254.169.254", True, "metadata"),
    ("http://[64:ff9b::a9fe:a9fe]", True, "metadata"),
    ("http://private.reach.example", True, "private network"),
    ("http://inner.reach.example", True, "this machine"),
]


@pytest.mark.parametrize(("number", "closed"), list(enumerate(CLOSED)))
def test_where_no_registry_elsewhere_may_lead(far: Far, number: int, closed: tuple[str, bool, str]) -> None:
    bundle, insecure, reason = closed
    home = "http://registry.reach.example" if insecure else HOME
    if number % 2:
        location = {"Location": f"{bundle}/artifacts/bundle/{PACKAGE.digests[1]}"}
        far.configure(f"registry:\n  insecure: {str(insecure).lower()}\n")
        far.distant.set(answer=_answer(""), faults={"bundle": {"status": 302, "headers": location}})
        result = far.pull(MCP_REGISTRY_URL=home)
    else:
        result = far.pull_from(bundle, insecure=insecure, MCP_REGISTRY_URL=home)
    refused(result, "registry-protocol", status=1)
    assert reason in result.message
    seen = far.distant.set()
    reached = {name for name, server in seen.items() if "://" in name and server["connections"]}
    assert reached == {home.removesuffix(".reach.example")}


def test_the_name_of_this_machine_must_lead_to_it(far: Far) -> None:
    """Only this machine may be asked in the clear, so ``localhost`` must not be another one."""
    result = far.pull(MCP_REGISTRY_URL="http://localhost", MCP_REGISTRY_TOKEN=TOKEN)
    refused(result, "registry-protocol", status=1)
    assert "10.20.0.1" in result.message
    assert far.distant.set()["http://private"]["connections"] == 0


def test_an_authority_of_ones_own(far: Far, distant: Distant, tmp_path: os.PathLike[str]) -> None:
    distant.set(answer=_answer(""))
    folder = os.path.join(tmp_path, "certificates")
    os.mkdir(folder)
    shutil.copy(distant.certificate, folder)
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    unknown = far.pull(MCP_REGISTRY_CA_FILE="")
    refused(unknown, "registry-untrusted", status=1)
    assert "registry.ca_file" in str(unknown.hint)
    # Another try would end the same.
    assert far.distant.set(answer=_answer(""))["https://registry"]["connections"] == 1
    for given in ({"SSL_CERT_FILE": distant.certificate}, {"SSL_CERT_DIR": f"/nowhere:{folder}"}):
        assert far.pull(MCP_REGISTRY_CA_FILE="", **given).status == 0
        assert far.run("cache", "rm", "--all").status == 0
    far.configure(f"registry:\n  ca_file: {distant.certificate}\n")
    assert far.pull(MCP_REGISTRY_CA_FILE="", SSL_CERT_DIR="/etc/ssl/certs").status == 0


def test_a_certificate_of_another_name(far: Far) -> None:
    refused(far.pull_from("https://store.wrong.example"), "registry-untrusted", status=1)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"MCP_REGISTRY_CA_FILE": "/nowhere.pem"}, "registry.ca_file"),
        ({"MCP_REGISTRY_CA_FILE": "/etc/hostname"}, "registry.ca_file"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR"),
    ],
)
def test_certificates_that_are_none(far: Far, env: dict[str, str], named: str) -> None:
    result = far.pull(**env)
    refused(result, "config-invalid", status=1)
    assert named in str(result.hint)


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
def test_a_proxy_sees_names_and_no_token(far: Far, variable: str) -> None:
    far.distant.set(answer=_answer("https://store.reach.example"), token=TOKEN)
    result = far.pull(**{variable: PROXY_URL, "MCP_REGISTRY_TOKEN": TOKEN})
    assert result.status == 0, result.stderr
    seen = far.distant.set()
    assert [(one["method"], one["target"]) for one in seen["proxy"]] == [
        ("CONNECT", "registry.reach.example:443"),
        ("CONNECT", "store.reach.example:443"),
    ]
    assert TOKEN not in str(seen["proxy"])
    assert [line[4] for line in seen["https://registry"]["log"]] == [f"Bearer {TOKEN}"] * 2
    assert [line[4] for line in seen["https://store"]["log"]] == [None]
    assert [line[5] for name in ("registry", "store") for line in seen[f"https://{name}"]["log"]] == [
        None
    ] * 3
    assert all("Proxy-Authorization" in one["headers"] for one in seen["proxy"])


def test_the_proxys_password_stays_with_the_proxy(far: Far) -> None:
    """For http as well, where the proxy gets the same headers as the registry."""
    result = far.pull_from(
        "", insecure=True, MCP_REGISTRY_URL="http://registry.reach.example", HTTP_PROXY=PROXY_URL
    )
    assert result.status == 0, result.stderr
    seen = far.distant.set()
    assert {one["method"] for one in seen["proxy"]} == {"POST", "GET"}
    assert seen["http://registry"]["log"]


def test_a_proxy_that_refuses_is_told_without_its_password(far: Far) -> None:
    far.distant.set(answer=_answer(""))
    result = far.pull(
        HTTPS_PROXY=f"http://proxy-user:other-secret@{PROXY[0]}:{PROXY[1]}", MCP_REGISTRY_TOKEN=TOKEN
    )
    refused(result, "registry-unavailable", status=1)
    assert "407" in result.message
    assert "other-secret" not in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


def test_a_socks_proxy_gets_names_to_look_up(far: Far) -> None:
    far.distant.set(answer=_answer("https://store.reach.example"), token=TOKEN)
    result = far.pull(ALL_PROXY=SOCKS_URL, MCP_REGISTRY_TOKEN=TOKEN)
    assert result.status == 0, result.stderr
    seen = far.distant.set()
    assert seen["socks"] == [["registry.reach.example", 443], ["store.reach.example", 443]]
    assert [line[4] for line in seen["https://store"]["log"]] == [None]


@pytest.mark.parametrize(
    ("proxy", "word"),
    [
        (SOCKS_URL.replace("pass%20word", "other-secret"), "password"),
        (SOCKS_URL.replace("proxy-user:proxy-pass%20word@", ""), "Requested"),
        ("socks5://10.20.0.9:9", "refused"),
    ],
)
def test_a_socks_proxy_that_does_not_let_us_through(far: Far, proxy: str, word: str) -> None:
    result = far.pull(ALL_PROXY=proxy)
    refused(result, "registry-unavailable", status=1)
    assert word in result.message
    assert f"by way of the proxy {PROXY[0]}:" in result.message
    assert "other-secret" not in result.stderr


@pytest.mark.parametrize("listed", [".reach.example", "other, reach.example:443"])
def test_no_proxy(far: Far, listed: str) -> None:
    far.distant.set(answer=_answer(""))
    result = far.pull(HTTPS_PROXY="http://10.20.0.9:9", NO_PROXY=listed)
    assert result.status == 0, result.stderr


def test_a_proxy_does_not_open_what_is_named_by_its_address(far: Far) -> None:
    far.distant.set(answer=_answer("https://169.254.169.254"))
    refused(far.pull(HTTPS_PROXY=PROXY_URL), "registry-protocol", status=1)
    assert "169.254" not in str(far.distant.set()["proxy"])
