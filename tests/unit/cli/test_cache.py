import gc
import os

import pytest
from kit.bundle import manifest_form, pack_files, package

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
    counts = {kind: value["count"] for kind, value in result["kinds"].items()}
    assert counts == {**dict.fromkeys(pulled, 1), "compiled": 0}
    assert result["total_bytes"] == sum(value["bytes"] for value in result["kinds"].values())
    assert result["folder"] in shown
    assert "of 10.0GB" in shown


# -- what references share ---------------------------------------------------------------------------------

SHARING = ("test/one@1.0.0", "test/two@1.0.0")


@pytest.fixture
def sharing(call, registry, monkeypatch):
    """Two packages with one bundle, both in the cache."""
    monkeypatch.setenv("MCP_REGISTRY_URL", registry.url)
    bundle = pack_files({"main.py": "print()"})
    for reference in SHARING:
        registry.publish(package(manifest_form(reference, "python3", "${bundle}/main.py"), bundle))
    assert call("pull", *SHARING).status == 0
    return registry


def test_removing_a_reference_keeps_what_another_one_needs(call, sharing):
    called = call("cache", "rm", SHARING[0], "--json")
    assert called.status == 0
    assert [entry["kind"] for entry in called.envelope["result"]["removed"]] == ["manifest"]
    assert sorted(entry["kind"] for entry in called.envelope["result"]["kept"]) == ["bundle", "tree"]
    entries = call("cache", "ls", "--json").envelope["result"]["entries"]
    assert {reference for entry in entries for reference in entry["references"]} == {SHARING[1]}
    sharing.close()
    assert call("run", "--dry-run", "--offline", SHARING[1]).status == 0
    gone = call("run", "--dry-run", "--offline", SHARING[0])
    assert (gone.status, "error[offline-missing]" in gone.stderr) == (125, True)


def test_a_removed_reference_is_fetched_again_without_what_is_there(call, sharing):
    assert "2 that other references need stay" in call("cache", "rm", SHARING[0]).stdout
    assert call("pull", SHARING[0]).status == 0
    assert len(sharing.requests("bundle")) == 1
    assert call("cache", "rm", SHARING[0]).status == 0


def test_removing_both_removes_everything(call, sharing):
    assert call("cache", "rm", *SHARING).status == 0
    assert stored(call) == []


def test_removing_the_shared_digest_is_deliberate(call, sharing):
    entries = call("cache", "ls", "--json").envelope["result"]["entries"]
    bundle = next(entry["digest"] for entry in entries if entry["kind"] == "bundle")
    assert call("cache", "rm", bundle).status == 0
    assert stored(call) == ["manifest", "manifest"]


# -- proving -----------------------------------------------------------------------------------------------


def damage(home, kind, name):
    """Change the one entry of ``kind``."""
    folder = os.path.join(home, "cache", kind)
    path = os.path.join(folder, os.listdir(folder)[0], name)
    os.chmod(path, 0o644)
    with open(path, "a") as file:
        file.write("changed")


def test_verify_says_that_all_is_whole(call, pulled):
    assert call("cache", "verify") == (0, "3 of 3 entries are whole\n", "")
    result = call("cache", "verify", HELLO, "--json").envelope["result"]
    assert result == {"verified": 3, "found": [], "database": []}


def test_verify_of_an_empty_cache(call):
    assert call("cache", "verify") == (0, "0 of 0 entries are whole\n", "")


def test_verify_tells_what_is_damaged_and_the_next_pull_mends_it(call, pulled, home):
    damage(home, "trees", "server.py")
    damage(home, "manifests", "manifest.json")
    called = call("cache", "verify", "--json")
    assert (called.status, called.envelope["error"]["code"]) == (1, "cache-damaged")
    found = {entry["kind"]: entry for entry in called.envelope["result"]["found"]}
    assert set(found) == {"manifest", "tree"}
    assert found["tree"]["references"] == [HELLO]
    assert os.path.isdir(found["tree"]["quarantine"])
    assert "server.py has" in found["tree"]["problem"]
    assert "quarantine" in call("cache", "stats").stdout
    assert call("pull", "--refresh", HELLO).status == 0
    assert call("cache", "verify").status == 0
    assert "freed" in call("cache", "rm", "--all", "--json").stdout
    assert "quarantine" not in call("cache", "stats").stdout


def test_verify_shows_damage_as_a_table(call, pulled, home):
    damage(home, "bundles", "bundle.tar.gz")
    header, *lines = call("cache", "verify").stdout.splitlines()
    assert header.split() == ["STATE", "KIND", "DIGEST", "PROBLEM", "REFERENCES"]
    assert [line.split()[:2] for line in lines[:2]] == [["damaged", "bundle"], ["unproven", "tree"]]
    assert lines[2] == "1 of 3 entries are whole"


def test_verify_looks_at_what_is_named_only(call, pulled, home):
    damage(home, "manifests", "manifest.json")
    assert call("cache", "verify", pulled["bundle"][:16]).status == 0
    assert call("cache", "verify", "sha256:000000").status == 1
    assert call("cache", "verify", pulled["manifest"]).status == 1


def test_verify_finds_a_damaged_database(call, pulled, home):
    path = os.path.join(home, "cache", "metadata.db")
    gc.collect()
    assert not os.path.exists(f"{path}-wal"), "somebody still has it open"
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (os.path.getsize(path) - 4096))
    called = call("cache", "verify", "--json")
    assert called.status == 1
    assert called.envelope["result"]["database"]
    assert call("cache", "verify").status == 0


def test_a_changed_package_is_mended_and_told_in_one_line(call, pulled, home):
    damage(home, "trees", "server.py")
    called = call("run", "--dry-run", "--offline", HELLO)
    assert called.status == 0
    (line,) = [line for line in called.stderr.splitlines() if "was changed" in line]
    assert line.startswith("mcp: warning: ")
    assert call("run", "--dry-run", "--offline", HELLO).stderr.count("was changed") == 0


def test_offline_with_nothing_intact(call, pulled, home):
    damage(home, "trees", "server.py")
    damage(home, "bundles", "bundle.tar.gz")
    called = call("run", "--dry-run", "--offline", HELLO)
    assert called.status == 125
    assert "error[cache-damaged]" in called.stderr
    assert f"mcp pull {HELLO}" in called.stderr
    assert call("run", "--dry-run", HELLO).status == 0
