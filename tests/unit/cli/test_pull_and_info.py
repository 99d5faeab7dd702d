import hashlib
import json
import os
import shutil
import subprocess

import pytest

import mcp_client

HELLO = "acme/hello-world@1.2.3"
EMBEDDED = os.path.join(os.path.dirname(mcp_client.__file__), "embedded")


@pytest.fixture
def folder(tmp_path) -> str:
    """A registry in a folder, with the embedded package."""
    path = str(tmp_path / "registry")
    shutil.copytree(os.path.join(EMBEDDED, "packages"), os.path.join(path, "packages"))
    return path


def answer(folder):
    return os.path.join(folder, "packages", "acme", "hello-world", "1.2.3.json")


def change(path, **fields):
    with open(path, encoding="utf-8") as file:
        value = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**value, **fields}, file)


def test_pull_tells_what_it_did(call):
    first = call("pull", HELLO)
    second = call("pull", HELLO)

    assert (first.status, second.status, second.stderr) == (0, 0, "")
    assert first.stderr.splitlines()[0].startswith(f"mcp: {HELLO}: bundle, 20.5kB in ")
    assert first.stdout.splitlines()[1].split()[:2] == [HELLO, "pulled"]
    assert second.stdout.splitlines()[1].split()[:2] == [HELLO, "cached"]


def test_a_quiet_pull_says_nothing(call):
    assert call("pull", "--quiet", HELLO) == (0, "", "")


def test_pull_as_json(call):
    called = call("pull", "--json", HELLO)

    envelope = called.envelope
    assert (called.status, envelope["ok"], envelope["command"]) == (0, True, "pull")
    (package,) = envelope["result"]["packages"]
    assert package["manifest"].startswith("sha256:")
    assert package["bundle"].startswith("sha256:")
    assert {key: package[key] for key in ("reference", "registry", "status", "cached")} == {
        "reference": HELLO,
        "registry": "embedded",
        "status": "published",
        "cached": False,
    }


def test_pull_tries_all_and_fails_if_one_does(call):
    called = call("pull", "--json", "acme/none@1.0.0", HELLO, "acme/none@1.0.0")

    assert called.status == 1
    assert called.envelope["ok"] is False
    assert called.envelope["error"]["code"] == "package-not-found"
    failed, pulled = called.envelope["result"]["packages"]
    assert failed["error"]["code"] == "package-not-found"
    assert pulled["reference"] == HELLO
    assert called.stderr.count("mcp: error[package-not-found]") == 1


def test_refresh_asks_the_registry_again(call, folder):
    url = f"file://{folder}"
    assert call("pull", HELLO, "--registry", url).status == 0
    change(answer(folder), status="revoked")

    assert call("pull", HELLO, "--registry", url).status == 0
    called = call("pull", "--refresh", HELLO, "--registry", url)

    assert called.status == 1
    assert "error[package-revoked]" in called.stderr


def test_info_before_and_after_a_pull(call, home):
    before = call("info", "--json", HELLO).envelope["result"]
    bundles = os.path.join(home, "cache", "bundles")
    assert not os.path.isdir(bundles) or os.listdir(bundles) == []
    call("pull", HELLO)
    after = call("info", "--offline", "--json", HELLO).envelope["result"]

    assert (before.pop("cached"), after.pop("cached")) == (False, True)
    # The registry is asked again by pull.
    assert before.pop("checked") <= after.pop("checked")
    assert before == after
    assert (before["name"], before["version"]) == ("acme/hello-world", "1.2.3")
    assert before["manifest"]["digest"].startswith("sha256:")
    assert "linux-amd64" in before["entrypoints"]
    assert set(before["asks"]) == {
        *("environment", "network", "subprocess", "resources", "runtime", "commands"),
        *("data_folder", "options", "http"),
    }


def test_info_tells_how_a_package_stands(call, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"file://{folder}"
    assert call("lock", HELLO, "--registry", url).status == 0
    standing = call("info", "--json", HELLO, "--registry", url).envelope["result"]
    assert (standing["locked"], standing["moved"], standing["message"]) == (True, None, None)
    assert standing["checked"].startswith("20")

    change(answer(folder), status="deprecated", message="use \x1b[31mtool")
    assert "is deprecated: use \\x1b[31mtool" in call("pull", "--refresh", HELLO, "--registry", url).stderr
    text = call("info", HELLO, "--registry", url).stdout
    assert "deprecated: use \\x1b[31mtool" in text
    assert "yes, in mcp.lock" in text

    other = {"digest": f"sha256:{'f' * 64}", "url": "x"}
    change(answer(folder), manifest=other)
    assert "[version-moved]" in call("pull", "--refresh", HELLO, "--registry", url).stderr
    moved = call("info", "--json", HELLO, "--registry", url).envelope["result"]
    assert moved["moved"]["manifest"] == other["digest"]
    assert other["digest"] in call("info", HELLO, "--registry", url).stdout


def test_an_info_is_held_to_later(call, folder):
    """Who has looked at a manifest must not be given another one afterwards."""
    url = f"file://{folder}"
    assert call("info", HELLO, "--registry", url).status == 0
    change(answer(folder), bundle={"digest": f"sha256:{'f' * 64}", "url": "x"})
    for command in ("info", "pull"):
        called = call(command, HELLO, "--registry", url)
        assert (called.status, called.stdout) == (1, "")
        assert "[version-moved]" in called.stderr


def test_a_lock_with_a_failure_is_not_written(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called = call("lock", "--json", HELLO, "acme/none@1.0.0")
    assert called.status == 1
    states = [package.get("state") for package in called.envelope["result"]["packages"]]
    assert states == ["not written", None]
    assert not os.path.exists("mcp.lock")


def test_info_as_text_says_what_is_asked_for(call):
    called = call("info", HELLO)

    assert (called.status, called.stderr) == (0, "")
    lines = called.stdout.splitlines()
    assert lines[0] == "acme/hello-world 1.2.3"
    words = {line.split()[0]: line for line in lines if line}
    assert {"reference", "status", "manifest", "bundle", "network", "limits"} <= set(words)
    assert "\x1b" not in called.stdout


def test_info_offline_needs_the_cache(call):
    called = call("info", "--offline", HELLO)

    assert (called.status, called.stdout) == (1, "")
    assert "error[offline-missing]" in called.stderr


def test_info_shows_a_revoked_package_as_such(call, folder):
    change(answer(folder), status="revoked")

    called = call("info", HELLO, "--registry", f"file://{folder}")

    assert called.status == 0
    assert any(line.split() == ["status", "revoked"] for line in called.stdout.splitlines())


def test_pull_into_a_folder_makes_it_a_registry(call, tmp_path, home):
    mirror, other = str(tmp_path / "mirror"), str(tmp_path / "other")

    first = call("pull", "--json", "--to", mirror, HELLO).envelope["result"]["packages"]
    again = call("pull", "--to", mirror, HELLO)
    onward = call("pull", "--to", other, "--registry", f"file://{mirror}", HELLO)
    used = call("pull", "--json", "--registry", f"file://{mirror}", HELLO).envelope["result"]["packages"]

    assert [package["state"] for package in first] == ["mirrored"]
    assert again.stdout.splitlines()[1].split()[:2] == [HELLO, "present"]
    assert onward.status == 0
    assert subprocess.run(["diff", "-r", mirror, other], check=False).returncode == 0
    assert (used[0]["manifest"], used[0]["bundle"]) == (first[0]["manifest"], first[0]["bundle"])
    assert used[0]["cached"] is False


def test_a_mirror_needs_no_cache_and_no_entrypoint_for_this_machine(call, folder, tmp_path, home):
    path = os.path.join(os.path.dirname(answer(folder)), "1.2.3", "manifest.json")
    change(path, entrypoints={"plan9-riscv64": {"command": "bin/server", "args": []}})
    told = describe(path)
    change(answer(folder), manifest={**told, "url": "packages/acme/hello-world/1.2.3/manifest.json"})
    url = f"file://{folder}"

    called = call("pull", "--to", str(tmp_path / "mirror"), HELLO, "--registry", url)

    assert called.status == 0, called.stderr
    assert not os.path.exists(os.path.join(home, "cache", "bundles"))


def test_a_revocation_reaches_the_mirror(call, folder, tmp_path):
    url, mirror = f"file://{folder}", str(tmp_path / "mirror")
    call("pull", "--to", mirror, HELLO, "--registry", url)
    change(answer(folder), status="revoked")

    called = call("pull", "--to", mirror, HELLO, "--registry", url)

    assert called.status == 1
    assert "error[package-revoked]" in called.stderr
    assert "the mirror now says so" in called.stderr
    with open(answer(mirror), encoding="utf-8") as file:
        assert json.load(file)["status"] == "revoked"


@pytest.mark.parametrize("what", ["bundle that cannot be unpacked", "manifest of another version"])
def test_a_mirror_takes_nothing_that_could_not_run_anywhere(call, folder, tmp_path, what):
    inside = os.path.join(os.path.dirname(answer(folder)), "1.2.3")
    if what.startswith("bundle"):
        path = os.path.join(inside, "bundle.tar.gz")
        with open(path, "r+b") as file:
            file.truncate(1000)
    else:
        path = os.path.join(inside, "manifest.json")
        change(path, version="1.2.4")
    kind = what.partition(" ")[0]
    url = f"packages/acme/hello-world/1.2.3/{os.path.basename(path)}"
    change(answer(folder), **{kind: {**describe(path), "url": url}})

    called = call("pull", "--to", str(tmp_path / "mirror"), HELLO, "--registry", f"file://{folder}")

    assert called.status == 1
    assert f"error[{'bundle-invalid' if kind == 'bundle' else 'manifest-mismatch'}]" in called.stderr
    assert not os.path.exists(tmp_path / "mirror" / "packages")


def describe(path):
    with open(path, "rb") as file:
        data = file.read()
    return {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size_bytes": len(data)}
