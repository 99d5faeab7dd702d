import pytest

from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.registry.credentials import Credentials

HELLO = parse_reference("acme/hello-world@1.2.3")


def test_the_embedded_registry(open_at):
    client = open_at("embedded")
    resolution = client.resolve(HELLO)
    assert resolution.registry == "embedded"
    manifest = b"".join(client.fetch(resolution.manifest, 1 << 20))
    assert len(manifest) == resolution.manifest.size
    assert client.known_versions(HELLO.package) == [HELLO.selector]
    client.close()


def test_the_embedded_registry_by_digest(open_at):
    client = open_at("embedded")
    by_version = client.resolve(HELLO)
    by_digest = client.resolve(parse_reference(f"{HELLO.package}@digest:{by_version.manifest.digest}"))
    assert by_digest[1:] == by_version[1:]


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", "file:{}", "FILE://{}"])
def test_a_folder(open_at, tmp_path, form):
    folder = tmp_path / "a b#?%"
    (folder / "packages" / "acme" / "one").mkdir(parents=True)
    (folder / "packages" / "acme" / "one" / "1.0.0.json").touch()
    url = form.format(str(folder).replace("%", "%25").replace("#", "%23").replace("?", "%3F"))
    assert open_at(url).known_versions("acme/one") == ["1.0.0"]


@pytest.mark.parametrize(
    "url",
    [
        "file://",
        "file:",
        "file:relative",
        "file://host/srv",
        "file:///srv%00x",
        "file:///srv#1",
        "file:///srv?x",
        "file://[",
        "http://",
        "https://user:sesame@host",
        "https://host:port",
        "http://[::1",
    ],
)
def test_urls_that_are_wrong(open_at, url):
    with pytest.raises(MCPError) as caught:
        open_at(url)
    assert caught.value.code == "config-invalid"
    assert "sesame" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["", "registry.example", "ftp://x", "user:sesame@host", "git+ssh://a:sesame@b"]
)
def test_what_is_no_registry(open_at, url):
    with pytest.raises(MCPError) as caught:
        open_at(url)
    assert caught.value.code == "usage"
    assert "sesame" not in caught.value.message


def test_the_stored_token_of_the_origin_is_sent(server, open_at, kit, tmp_path):
    credentials = Credentials(str(tmp_path / "home" / "auth.json"))
    credentials.store(server.url, "stored")
    credentials.store("http://127.0.0.1", "of another port")
    server.routes["/below" + kit.resolve] = kit.send(200, kit.answer)
    open_at(server.url + "/below").resolve(kit.one)
    open_at(server.url + "/below", token="given").resolve(kit.one)
    assert [request.token for request in server.log] == ["Bearer stored", "Bearer given"]
