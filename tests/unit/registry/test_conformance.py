"""A registry on loopback that keeps its contract, and one fault after the other, found as what it is."""

import gzip
import hashlib
import json
import os
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.registry.conformance.artifacts import Inspect
from mcp_client.registry.conformance.examine import examine_folder, examine_web
from mcp_client.registry.conformance.finding import RULES
from mcp_client.registry.tokens import Token

ONE = parse_reference("acme/one@1.2.3")
MANIFEST = b'{"name": "acme/one"}'
BUNDLE = os.urandom(3000)
HEADERS = {"Content-Type": "application/json"}
TAG = {"ETag": '"one"'}


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def answer(**changes):
    value = {
        "version": "1.2.3",
        "manifest": {"digest": digest(MANIFEST), "url": "files/m", "size_bytes": len(MANIFEST)},
        "bundle": {"digest": digest(BUNDLE), "url": "files/b", "size_bytes": len(BUNDLE)},
    }
    for path, change in changes.items():
        *above, last = path.split("__")
        place = value
        for name in above:
            place = place[name]
        place[last] = change
        if change is None:
            del place[last]
    return value


class Healthy:
    """What a registry that keeps its contract sends; a test replaces one method or attribute."""

    def __init__(self, kit):
        self.kit = kit
        self.token = None
        self.headers = HEADERS
        self.tags = TAG
        self.selectors = {"1.2.3", f"digest:{digest(MANIFEST)}", "sha:abcdef0"}
        self.asked = 0

    def value(self, selector):
        return answer()

    def missing(self, handler):
        error = {"error": "not_found", "message": "there is none"}
        self.kit.send(404, error, HEADERS)(handler)

    def post(self, handler):
        if handler.command != "POST":
            self.kit.send(405, b"")(handler)
            return
        self.resolve(handler, json.loads(handler.owner.log[-1].body)["ref"])

    def resolve(self, handler, selector):
        self.asked += 1
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            self.kit.send(401, {"error": "unauthorized", "message": "who are you"}, HEADERS)(handler)
        elif selector not in self.selectors:
            self.missing(handler)
        else:
            self.kit.send(200, self.value(selector), self.headers)(handler)

    def manifest(self, handler):
        self.file(handler, MANIFEST)

    def bundle(self, handler):
        self.file(handler, BUNDLE)

    def file(self, handler, data):
        asked = handler.headers.get("Range")
        if asked is None:
            self.kit.send(200, data, self.tags)(handler)
            return
        self.part(handler, data, int(asked.removeprefix("bytes=").removesuffix("-")))

    def part(self, handler, data, start):
        told = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        self.kit.send(206, data[start:], {**told, **self.tags})(handler)


@pytest.fixture
def healthy(kit):
    return Healthy(kit)


@pytest.fixture
def serve(server):
    def start(registry):
        server.routes["/v1/packages/acme/one/resolve"] = registry.post
        server.routes["/files/m"] = registry.manifest
        server.routes["/files/b"] = registry.bundle
        return server.url

    return start


def fine(path, *_):
    with open(path, "rb") as file:
        return f"{len(file.read())} bytes"


def examine(url, token=None, inspect=Inspect(fine, fine), reference=ONE, **settings):
    settings = RegistrySettings(url, **{"timeout": 5.0, "connect_timeout": 5.0, **settings})
    held = Token(token, "environment") if token else None
    return list(examine_web(url, reference, settings, held, inspect))


def wrong(findings):
    return {
        (finding.check, finding.result) for finding in findings if finding.result in {"breach", "warning"}
    }


def test_a_registry_that_keeps_its_contract(serve, healthy):
    findings = examine(serve(healthy))

    assert wrong(findings) == set()
    assert {finding.check.partition(":")[0] for finding in findings} == set(RULES) - {
        *("redirects", "authentication", "dialects agree", "version"),
    }
    for finding in findings:
        assert finding.tried
        assert finding.got
        assert finding.mend is None


def test_what_a_fault_says(serve, healthy):
    healthy.bundle = lambda handler: healthy.file(handler, b"something else")

    (finding,) = [one for one in examine(serve(healthy)) if one.check == "digest: bundle"]

    assert finding.result == "breach"
    assert finding.tried.endswith("/files/b")
    assert digest(b"something else") in finding.got
    assert digest(BUNDLE) in finding.got
    assert finding.section == "Artifacts"
    assert finding.mend


# What one change does, and everything that is then wrong, no more and no less.
def value(**changes):
    def apply(registry):
        registry.value = lambda selector: answer(**changes)

    return apply


def attribute(**changes):
    def apply(registry):
        for name, change in changes.items():
            setattr(registry, name, change)

    return apply


def moved(registry):
    """Another bundle every time."""
    registry.value = lambda selector: answer(bundle__digest=digest(str(registry.asked).encode()))


def files(manifest=None, bundle=None, part=None):
    def apply(registry):
        if manifest:
            registry.manifest = lambda handler: manifest(registry, handler)
        if bundle:
            registry.bundle = lambda handler: bundle(registry, handler)
        if part:
            registry.part = lambda handler, data, start: part(registry, handler, data, start)

    return apply


def plain(status, body=b"", headers=None):
    return lambda registry, handler: registry.kit.send(status, body, headers or {})(handler)


def without_length(registry, handler):
    handler.begin(200, {"Connection": "close", **TAG})
    handler.wfile.write(BUNDLE)
    handler.close_connection = True


def cut(registry, handler):
    handler.begin(200, {"Content-Length": str(len(BUNDLE)), **TAG})
    handler.wfile.write(BUNDLE[:100])
    handler.close_connection = True


def compressed(registry, handler):
    data = gzip.compress(BUNDLE)
    registry.kit.send(200, data, {"Content-Encoding": "gzip", **TAG})(handler)


def part_from_the_start(registry, handler, data, start):
    told = {"Content-Range": f"bytes 0-{len(data) - start - 1}/{len(data)}"}
    registry.kit.send(206, data[: len(data) - start], told)(handler)


def slow(registry):
    def send(selector):
        time.sleep(2.1 if registry.asked == 1 else 0)
        return answer()

    registry.value = send


FAULTS = {
    "no version, no sizes": (
        value(version=None, manifest__size_bytes=None, bundle__size_bytes=None),
        {("answer fields", "warning")},
    ),
    "a wrong type": (attribute(headers={"Content-Type": "text/html"}), {("answer type", "warning")}),
    "an unknown status": (value(status="fresh"), {("answer: post", "breach")}),
    "a revoked package": (value(status="revoked"), {("status", "warning")}),
    "another version": (value(version="1.2.4"), {("answer: post", "breach")}),
    "no digest": (value(bundle__digest="md5:1"), {("answer: post", "breach")}),
    "no bundle": (value(bundle=None), {("answer: post", "breach")}),
    "a size as text": (value(bundle__size_bytes="3000"), {("answer: post", "breach")}),
    "a huge answer": (value(padding="x" * (1 << 20)), {("answer: post", "breach")}),
    "kept for ever": (
        attribute(headers={**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}),
        {("caching", "warning")},
    ),
    "kept for a year by others": (
        attribute(headers={**HEADERS, "Cache-Control": "max-age=0, s-maxage=31536000"}),
        {("caching", "warning")},
    ),
    "slow": (slow, {("time", "warning")}),
    "moving": (moved, {("immutability", "breach"), ("digest alias", "breach"), ("digest: bundle", "breach")}),
    "no digests": (attribute(selectors={"1.2.3"}), {("digest alias", "breach")}),
    "unknown is 200": (
        attribute(missing=lambda handler: handler.owner.routes and _empty(handler)),
        {("unknown reference", "breach")},
    ),
    "unknown is 500": (
        attribute(missing=lambda handler: _fail(handler, 500)),
        {("unknown reference", "breach")},
    ),
    "unknown is 403": (
        attribute(missing=lambda handler: _fail(handler, 403)),
        {("unknown reference", "breach")},
    ),
    "unknown without JSON": (
        attribute(missing=lambda handler: _fail(handler, 404)),
        {("error body: 404", "warning")},
    ),
    "wrong bytes": (
        files(bundle=plain(200, b"x" * len(BUNDLE), TAG)),
        {("digest: bundle", "breach"), ("ranges", "warning")},
    ),
    "a wrong size": (value(bundle__size_bytes=2999), {("size: bundle", "breach")}),
    "a missing file": (files(manifest=plain(404, b"gone")), {("fetch: manifest", "breach")}),
    "a cut file": (files(bundle=cut), {("fetch: bundle", "breach")}),
    "no length": (files(bundle=without_length), {("length: bundle", "warning"), ("ranges", "warning")}),
    "compressed": (files(bundle=compressed), {("encoding: bundle", "warning"), ("ranges", "warning")}),
    "no ranges": (
        files(part=lambda registry, handler, data, start: registry.kit.send(200, data, TAG)(handler)),
        {("ranges", "warning")},
    ),
    "the wrong part": (files(part=part_from_the_start), {("range", "breach")}),
    "ranges refused": (
        files(part=lambda registry, handler, data, start: registry.kit.send(416)(handler)),
        {("ranges", "warning"), ("range", "breach")},
    ),
    "a part without saying which": (
        files(part=lambda registry, handler, data, start: registry.kit.send(206, data[start:])(handler)),
        {("range", "breach")},
    ),
    "no validator": (attribute(tags={}), {("validator", "warning")}),
    "a weak validator": (attribute(tags={"ETag": 'W/"one"'}), {("validator", "warning")}),
    "a URL that is none": (value(bundle__url="http://[:1/b"), {("artifact url: bundle", "breach")}),
    "a URL of another kind": (value(bundle__url="ftp://127.0.0.1/b"), {("artifact url: bundle", "breach")}),
}


def _empty(handler):
    handler.begin(200, {"Content-Length": "2"})
    handler.wfile.write(b"{}")


def _fail(handler, status):
    handler.begin(status, {"Content-Length": "4"})
    handler.wfile.write(b"none")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_as_what_it_is(serve, healthy, fault):
    change, expected = FAULTS[fault]
    change(healthy)

    assert wrong(examine(serve(healthy))) == expected


def test_a_redirect_to_a_store_that_wants_nothing_is_fine(serve, healthy, new_server, kit):
    store = new_server()
    store.routes["/b"] = lambda handler: Healthy(kit).bundle(handler)
    healthy.bundle = kit.redirect(f"{store.url}/b")

    findings = examine(serve(healthy), token="secret-secret-secret")

    assert wrong(findings) == set()
    assert "redirects: bundle" in {finding.check for finding in findings}
    assert not any(request.token for request in store.log)


def test_a_redirect_to_a_store_that_wants_a_token_is_a_breach(serve, healthy, new_server, kit):
    store = new_server()
    store.routes["/b"] = kit.send(403, b"no")
    healthy.bundle = kit.redirect(f"{store.url}/b")

    assert wrong(examine(serve(healthy))) == {("redirects: bundle", "breach")}


def test_a_redirect_without_an_end_is_a_breach(serve, healthy, kit):
    healthy.manifest = kit.redirect("/files/m")

    assert wrong(examine(serve(healthy))) == {("redirects: manifest", "breach")}


def test_a_private_registry(serve, healthy):
    healthy.token = "secret-secret-secret"
    url = serve(healthy)

    findings = {finding.check: finding for finding in examine(url, token=healthy.token)}
    with pytest.raises(MCPError) as caught:
        examine(url)

    assert findings["authentication"].result == "ok"
    assert findings["error body: 401"].result == "ok"
    assert wrong(findings.values()) == set()
    assert caught.value.code == "unauthorized"
    assert not any(healthy.token in str(finding) for finding in findings.values())


def test_a_private_registry_that_hides_with_404(serve, healthy):
    healthy.token = "secret-secret-secret"
    resolve = healthy.resolve

    def hiding(handler, selector):
        known = handler.headers.get("Authorization")
        resolve(handler, selector) if known else healthy.missing(handler)

    healthy.resolve = hiding

    assert wrong(examine(serve(healthy), token=healthy.token)) == {("authentication", "breach")}


def test_a_public_registry_is_told_as_such(serve, healthy):
    findings = {finding.check: finding for finding in examine(serve(healthy), token="secret-secret-secret")}

    assert findings["authentication"].result == "note"


def test_an_earlier_dialect_that_stops_clients(serve, healthy):
    """POST is answered with 403, GET with the answer: a client never comes that far."""

    def get_only(handler):
        if handler.command == "POST":
            _fail(handler, 403)
        else:
            healthy.resolve(handler, parse_qs(urlsplit(handler.path).query)["ref"][0])

    healthy.post = get_only

    assert wrong(examine(serve(healthy))) == {("dialect: post", "breach")}


def test_dialects_that_disagree(serve, healthy):
    def both(handler):
        if handler.command == "POST":
            healthy.resolve(handler, json.loads(handler.owner.log[-1].body)["ref"])
        else:
            healthy.kit.send(200, answer(bundle__digest=digest(b"another")), HEADERS)(handler)

    healthy.post = both

    assert wrong(examine(serve(healthy))) == {("dialects agree", "breach")}


def test_a_commit_and_its_version(serve, healthy):
    reference = parse_reference("acme/one@sha:abcdef0")
    assert wrong(examine(serve(healthy), reference=reference)) == set()

    healthy.value = lambda selector: answer(
        **({"manifest__digest": digest(b"x")} if selector == "1.2.3" else {})
    )

    assert wrong(examine(serve(healthy), reference=reference)) == {("version", "breach")}


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
def test_an_artifact_that_is_no_good(serve, healthy, kind):
    def bad(*_):
        raise MCPError("bundle-unsafe", "it leads out", hint="")

    inspect = Inspect(fine, fine)._replace(**{kind: bad})

    findings = examine(serve(healthy), inspect=inspect)

    assert wrong(findings) == {(kind, "breach")}
    assert "it leads out" in next(finding.got for finding in findings if finding.check == kind)


def test_nothing_is_examined_where_there_is_nothing(serve, healthy, new_server):
    url = serve(healthy)
    closed = new_server()
    closed.close()

    with pytest.raises(MCPError) as unknown:
        examine(url, reference=parse_reference("acme/one@9.9.9"))
    with pytest.raises(MCPError) as unreachable:
        examine(closed.url)

    assert (unknown.value.code, unreachable.value.code) == ("package-not-found", "registry-unavailable")


def test_words_of_a_registry_do_not_reach_the_terminal_as_they_are(serve, healthy, kit):
    healthy.manifest = kit.send(500, b"\x1b]0;owned\x07" + b"x" * 1000)
    healthy.headers = {"Content-Type": "text/\x9bhtml"}

    for finding in examine(serve(healthy)):
        assert (finding.got + finding.tried).isprintable()
        assert len(finding.got) < 1000


def test_a_folder(tmp_path, open_at):
    folder = tmp_path / "packages" / "acme" / "one"
    folder.mkdir(parents=True)
    files = tmp_path / "files"
    files.mkdir()
    (files / "m").write_bytes(MANIFEST)
    (files / "b").write_bytes(BUNDLE)
    (folder / "1.2.3.json").write_text(json.dumps(answer()))
    settings = RegistrySettings(f"file://{tmp_path}")
    client = open_at(settings.url)

    def look():
        return list(examine_folder(client, ONE, settings, Inspect(fine, fine)))

    assert wrong(look()) == set()
    (files / "b").write_bytes(BUNDLE[:-1])
    assert wrong(look()) == {("digest: bundle", "breach"), ("size: bundle", "breach")}
    (files / "m").unlink()
    assert ("fetch: manifest", "breach") in wrong(look())
    (folder / "1.2.3.json").write_text("{}")
    assert wrong(look()) == {("answer", "breach")}
