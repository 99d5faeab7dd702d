import os

import pytest

from mcp_client.app import App
from mcp_client.reference import parse_reference

HELLO = "acme/hello-world@1.2.3"


@pytest.fixture
def pulled(call):
    """Digests of the one package in the cache, by kind."""
    assert call("pull", HELLO).status == 0
    entries = call("cache", "ls", "--json").envelope["result"]["entries"]
    return {entry["kind"]: entry["digest"] for entry in entries}


def stored(call):
    return sorted(entry["kind"] for entry in call("cache", "ls", "--json").envelope["result"]["entries"])


def test_an_empty_cache(call):
    assert call("cache", "ls") == (0, "nothing is stored\n", "")
    assert call("cache", "ls", "--json").envelope["result"] == {"entries": []}
    assert call("cache", "stats", "--json").envelope["result"]["total_bytes"] == 0
    assert call("cache", "rm", "--all") == (0, "nothing removed\n", "")


def test_ls(call, pulled):
    envelope = call("cache", "ls", "--json").envelope

    assert (envelope["command"], set(pulled)) == ("cache ls", {"manifest", "bundle", "tree"})
    assert pulled["bundle"] == pulled["tree"]
    for entry in envelope["result"]["entries"]:
        assert entry["references"] == [HELLO]
        assert entry["size"] > 0
        assert os.path.exists(entry["path"])
        assert entry["used"].endswith("Z")


def test_ls_as_text_shows_a_digest_that_rm_takes(call, pulled):
    header, *lines = call("cache", "ls").stdout.splitlines()
    manifest = next(line.split() for line in lines if line.startswith("manifest"))

    assert header.split() == ["KIND", "DIGEST", "SIZE", "USED", "REFERENCES"]
    assert pulled["manifest"].startswith(manifest[1])
    assert call("cache", "rm", manifest[1]).status == 0
    assert stored(call) == ["bundle", "tree"]


def test_rm_by_reference_removes_all_of_it(call, pulled):
    called = call("cache", "rm", HELLO, "--json")

    result = called.envelope["result"]
    assert (called.status, called.envelope["command"]) == (0, "cache rm")
    assert {entry["digest"] for entry in result["removed"]} == set(pulled.values())
    assert result["freed_bytes"] == sum(entry["size"] for entry in result["removed"])
    assert stored(call) == []
    assert call("pull", HELLO).status == 0


@pytest.mark.parametrize("cut", [13, 20, 71])
def test_rm_by_digest_or_its_beginning(cut, call, pulled):
    assert call("cache", "rm", pulled["bundle"][:cut]).status == 0
    assert stored(call) == ["manifest"]


def test_rm_without_the_algorithm(call, pulled):
    assert call("cache", "rm", pulled["bundle"].removeprefix("sha256:")).status == 0
    assert stored(call) == ["manifest"]


def test_rm_all_asks_nothing(call, pulled):
    called = call("cache", "rm", "--all")

    assert called.status == 0
    assert called.stdout.startswith("removed 3 entries, ")
    assert stored(call) == []


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        ("sha256:000000000000", "not-cached", 1),
        ("acme/none@1.0.0", "not-cached", 1),
        ("acme/hello-world", "reference-mutable", 2),
        ("sha256:abc", "reference-invalid", 2),
        ("../../etc", "reference-invalid", 2),
    ],
)
def test_rm_of_what_is_not_there_removes_nothing(target, code, status, call, pulled):
    called = call("cache", "rm", HELLO, target)

    assert (called.status, called.stdout) == (status, "")
    assert f"error[{code}]" in called.stderr
    assert stored(call) == ["bundle", "manifest", "tree"]


@pytest.mark.parametrize("arguments", [[], ["--all", HELLO]])
def test_rm_needs_names_or_all(arguments, call, pulled):
    called = call("cache", "rm", *arguments)

    assert called.status == 2
    assert "error[usage]" in called.stderr
    assert stored(call) == ["bundle", "manifest", "tree"]


def test_rm_ambiguous_beginning(call, home):
    folder = os.path.join(home, "cache", "manifests")
    for last in "ab":
        os.makedirs(os.path.join(folder, f"sha256:{'0' * 63}{last}"))

    called = call("cache", "rm", "sha256:000000")

    assert called.status == 2
    assert "2 digests" in called.stderr
    assert len(os.listdir(folder)) == 2


def test_what_a_server_runs_from_stays(call, pulled):
    app = App()
    package = app.cache.find(parse_reference(HELLO), app.registry_url)
    descriptor = app.cache.hold(package.tree)
    try:
        by_name = call("cache", "rm", HELLO)
        assert (by_name.status, stored(call)) == (1, ["bundle", "manifest", "tree"])
        assert "error[in-use]" in by_name.stderr

        everything = call("cache", "rm", "--all", "--json")
        assert everything.status == 1
        assert everything.envelope["error"]["code"] == "in-use"
        assert [entry["kind"] for entry in everything.envelope["result"]["removed"]] == ["manifest"]
        assert "tree" in stored(call)
    finally:
        os.close(descriptor)
    assert call("cache", "rm", "--all").status == 0


def test_stats(call, pulled, home):
    result = call("cache", "stats", "--json").envelope["result"]
    shown = call("cache", "stats").stdout

    assert result["folder"] == os.path.join(home, "cache")
    assert result["references"] == 1
    assert {kind: value["count"] for kind, value in result["kinds"].items()} == dict.fromkeys(pulled, 1)
    assert result["total_bytes"] == sum(value["bytes"] for value in result["kinds"].values())
    assert result["folder"] in shown
    assert "of 10.0GB" in shown
