"""The registry inside the package is exactly what its sources build, and keeps its own contract."""

import hashlib
import importlib
import json
import os
import tarfile

import pytest

import mcp_client
from mcp_client.platforms import normalise

EMBEDDED = os.path.join(os.path.dirname(os.path.abspath(mcp_client.__file__)), "embedded")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
ANSWER = os.path.join(EMBEDDED, "packages", "acme", "hello-world", "1.2.3.json")


def read(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def builder():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(os.path.join(ROOT, "tools"))
        yield importlib.import_module("build_embedded")


@pytest.fixture(scope="module")
def answer():
    return json.loads(read(ANSWER))


def test_committed_files_are_what_the_source_builds(builder):
    built = builder.build()
    committed = {name: read(os.path.join(builder.EMBEDDED, *name.split("/"))) for name in built}

    assert committed == built


def test_check_names_the_file_that_is_stale(builder, monkeypatch, capsys):
    files = builder.build()
    name = "packages/acme/hello-world/1.2.3/manifest.json"
    monkeypatch.setattr(builder, "build", lambda: {**files, name: b"{}"})

    assert builder.main(["--check"]) == 1
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("artifact", ["manifest", "bundle"])
def test_descriptors_match_the_files(answer, artifact):
    data = read(os.path.join(EMBEDDED, *answer[artifact]["url"].split("/")))

    assert answer[artifact]["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert answer[artifact]["size_bytes"] == len(data)


def test_bundle_holds_the_source_and_nothing_of_the_machine_that_built_it(answer):
    with tarfile.open(os.path.join(EMBEDDED, *answer["bundle"]["url"].split("/"))) as bundle:
        members = bundle.getmembers()
        content = bundle.extractfile("server.py").read()

    assert content == read(os.path.join(EMBEDDED, "source", "hello-world", "server.py"))
    assert [(m.name, m.mode, m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members] == [
        ("server.py", 0o644, 0, 0, 0, "", "")
    ]


def test_packing_does_not_depend_on_times_or_order(builder, tmp_path):
    archives = []
    for order in (("a.py", "b.py"), ("b.py", "a.py")):
        folder = tmp_path / order[0]
        (folder / "sub").mkdir(parents=True)
        for position, name in enumerate(order):
            (folder / "sub" / name).write_bytes(name.encode() * 40_000)
            os.utime(folder / "sub" / name, (position, position))
        archives.append(builder.pack(str(folder)))

    assert archives[0] == archives[1]
    (tmp_path / "bundle.tar.gz").write_bytes(archives[0])
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        assert bundle.getnames() == ["sub/a.py", "sub/b.py"]
        assert bundle.extractfile("sub/b.py").read() == b"b.py" * 40_000


def test_manifest_serves_the_platforms_it_is_meant_for(answer):
    manifest = json.loads(read(os.path.join(EMBEDDED, *answer["manifest"]["url"].split("/"))))

    assert (manifest["name"], manifest["version"]) == ("acme/hello-world", "1.2.3")
    assert set(manifest["entrypoints"]) == {
        normalise("linux", "x86_64"),
        normalise("linux", "aarch64"),
        normalise("darwin", "x86_64"),
        normalise("darwin", "arm64"),
        normalise("win32", "AMD64"),
    }
