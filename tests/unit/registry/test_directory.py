import json
import os
import tempfile
import traceback
from pathlib import Path

import pytest

from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference

HEX, OTHER = "a" * 64, "b" * 64
BY_DIGEST = parse_reference(f"acme/one@digest:sha256:{HEX}")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "registry" / "packages" / "acme" / "one").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "registry"


@pytest.fixture
def client(open_at, folder):
    return open_at(f"file://{folder}")


def put(folder, name, manifest=HEX, bundle=OTHER, **fields):
    form = {
        "manifest": {"digest": f"sha256:{manifest}", "url": "m"},
        "bundle": {"digest": f"sha256:{bundle}", "url": "b"},
        **fields,
    }
    (folder / "packages" / "acme" / "one" / f"{name}.json").write_text(json.dumps(form))


def refused(act, code):
    with pytest.raises(MCPError) as caught:
        act()
    error = caught.value
    assert error.code == code
    assert error.message.isprintable()
    assert error.hint
    return error


def fetched(client, kit, url, limit=1 << 20, size=None):
    return b"".join(client.fetch(kit.descriptor(b"", url, size), limit))


def test_resolve(client, folder, kit):
    put(folder, "1.2.3", status="deprecated")
    resolution = client.resolve(kit.one)
    assert (resolution.manifest.digest.hex, resolution.status) == (HEX, "deprecated")


def test_a_folder_that_is_not_there(open_at, tmp_path, kit):
    for path in ("missing", "file"):
        (tmp_path / "file").touch()
        error = refused(
            lambda path=path: open_at(f"file://{tmp_path}/{path}").resolve(kit.one), "registry-unavailable"
        )
        assert path in error.message


def test_a_missing_version_names_those_there_are(client, folder):
    put(folder, "1.0.0")
    put(folder, "sha-abcdef0")
    put(folder, f"digest:sha256:{HEX}")
    error = refused(lambda: client.resolve(parse_reference("acme/one@9.9.9")), "package-not-found")
    assert f"1.0.0, digest:sha256:{HEX}, sha:abcdef0" in error.hint
    refused(lambda: client.resolve(parse_reference("acme/two@9.9.9")), "package-not-found")


@pytest.mark.parametrize("name", ["sha:abcdef0", "sha-abcdef0"])
def test_a_commit_has_a_file_of_its_own(client, folder, name):
    reference = parse_reference("acme/one@sha:abcdef0")
    put(folder, "1.0.0", version="sha:abcdef0")
    put(folder, "sha:abcdef01")
    refused(lambda: client.resolve(reference), "package-not-found")
    put(folder, name, version="1.0.0")
    assert client.resolve(reference).version == "1.0.0"


@pytest.mark.parametrize("name", [f"digest:sha256:{HEX}", f"digest-sha256-{HEX}", "1.0.0", "sha-abcdef0"])
def test_a_digest_is_found_under_any_name(client, folder, name):
    put(folder, "0.0.1", manifest="c" * 64)
    (folder / "packages" / "acme" / "one" / "0.0.2.json").write_text("garbage")
    (folder / "packages" / "acme" / "one" / "0.0.3.json").mkdir()
    (folder / "packages" / "acme" / "one" / "0.0.4.json").symlink_to("/etc/passwd")
    refused(lambda: client.resolve(BY_DIGEST), "package-not-found")
    put(folder, name)
    assert client.resolve(BY_DIGEST).bundle.digest.hex == OTHER


def test_a_digest_is_not_found_in_other_packages(client, folder):
    put(folder, "1.0.0")
    refused(lambda: client.resolve(parse_reference(f"acme/two@digest:sha256:{HEX}")), "package-not-found")


def test_the_gravest_status_of_a_digest_counts(client, folder):
    put(folder, "1.0.0", status="published")
    put(folder, "1.0.1", status="revoked")
    put(folder, "1.0.2", status="deprecated")
    assert client.resolve(BY_DIGEST).status == "revoked"


def test_a_digest_with_two_bundles_is_ambiguous(client, folder):
    put(folder, "1.0.0")
    put(folder, "1.0.1", bundle="c" * 64)
    refused(lambda: client.resolve(BY_DIGEST), "registry-protocol")


def test_a_digests_own_file_with_another_manifest(client, folder):
    put(folder, f"digest:sha256:{HEX}", manifest=OTHER)
    refused(lambda: client.resolve(BY_DIGEST), "registry-protocol")


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b" " * (2 << 20)])
def test_a_broken_answer(client, folder, kit, content):
    (folder / "packages" / "acme" / "one" / "1.2.3.json").write_bytes(content)
    refused(lambda: client.resolve(kit.one), "registry-protocol")


def test_fetch(client, folder, kit):
    (folder / "a b").mkdir()
    (folder / "a b" / "c%").write_bytes(b"x" * 3_000_000)
    assert fetched(client, kit, "a%20b/c%25?ignored#too", limit=3_000_000, size=3_000_000) == b"x" * 3_000_000


@pytest.mark.parametrize("size", [4, 6])
def test_a_wrong_size(client, folder, kit, size):
    (folder / "artifact").write_bytes(b"12345")
    refused(lambda: fetched(client, kit, "artifact", size=size), "digest-mismatch")


def test_a_file_above_the_limit(client, folder, kit):
    (folder / "artifact").write_bytes(b"12345")
    refused(lambda: fetched(client, kit, "artifact", limit=4), "download-too-large")


@pytest.mark.parametrize(
    "url",
    [
        "../secret",
        "packages/../../secret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "{folder}/../secret",
        "{folder}-sibling/x",
        "/etc/passwd",
        "link",
        "linked/secret",
        "hop/secret",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
        "//host/x",
        "http://[",
        "a%00b",
        "../\x1b[2J",
    ],
)
def test_nothing_leads_out(client, folder, kit, url):
    (folder / "link").symlink_to("../secret")
    (folder / "linked").symlink_to("..")
    (folder / "hop").symlink_to("linked")
    os.mkdir(f"{folder}-sibling")
    refused(lambda: fetched(client, kit, url.format(folder=folder)), "registry-protocol")


def test_an_answer_that_is_a_link_out(client, folder, kit):
    put(folder, "9.9.9")
    os.rename(folder / "packages" / "acme" / "one" / "9.9.9.json", folder.parent / "answer")
    (folder / "packages" / "acme" / "one" / "1.2.3.json").symlink_to("../../../../answer")
    refused(lambda: client.resolve(kit.one), "registry-protocol")


def test_links_inside_are_fine(client, folder, kit):
    put(folder, "1.0.0")
    (folder / "packages" / "acme" / "one" / "1.2.3.json").symlink_to("1.0.0.json")
    assert client.resolve(kit.one).manifest.digest.hex == HEX


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "loop"])
def test_an_artifact_that_is_no_file(client, folder, kit, kind):
    path = folder / "artifact"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to("artifact")
    code = "registry-unavailable" if kind == "loop" else "registry-rejected"
    refused(lambda: fetched(client, kit, "artifact"), code)


def test_a_name_longer_than_any_file_system_takes(client, kit):
    refused(lambda: fetched(client, kit, "x" * 5000), "registry-unavailable")


@pytest.mark.parametrize("closed", ["packages/acme/one/1.2.3.json", "packages/acme/one"])
def test_what_may_not_be_read(open_at, kit, closed):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = Path(place)
        (folder / "packages" / "acme" / "one").mkdir(parents=True)
        put(folder, "1.2.3")
        os.chmod(folder / closed, 0)

        def check():
            client = open_at(f"file://{folder}")
            error = refused(lambda: client.resolve(kit.one), "registry-unavailable")
            assert "1.2.3.json: Permission denied" in error.message
            assert client.known_versions("acme/one") == (["1.2.3"] if closed.endswith(".json") else [])

        try:
            without_root(check)
        finally:
            os.chmod(folder / closed, 0o700)


def without_root(check):
    """Run ``check`` without the rights of root, for root in a child process."""
    if os.geteuid() != 0:
        check()
        return
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            check()
            status = 0
        except Exception:  # noqa: BLE001 (it is told by the status, and printed)
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
