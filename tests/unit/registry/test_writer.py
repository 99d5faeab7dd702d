"""A folder that becomes a registry: whole at every moment, whoever writes, and whatever kills them."""

import hashlib
import json
import os
import resource
import shutil
import signal
import stat
import threading

import pytest

from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.registry.directory import DirectoryTransport
from mcp_client.registry.wire import parse_answer
from mcp_client.registry.writer import DirectoryWriter
from mcp_client.resolution import Descriptor, Resolution

MANIFEST, BUNDLE = b'{"a manifest": 1}', b"a bundle" * 10_000


def digest(data):
    return Digest(hashlib.sha256(data).hexdigest())


def descriptor(data):
    return Descriptor(digest(data), f"artifacts/sha256/{digest(data).hex}", len(data))


def resolution(text="acme/one@1.2.3", manifest=MANIFEST, bundle=BUNDLE, status="published", version="1.2.3"):
    return Resolution(
        parse_reference(text), "elsewhere", descriptor(manifest), descriptor(bundle), status, version
    )


def pieces(data, size=1000):
    return lambda: (data[start : start + size] for start in range(0, len(data), size))


def no_check(path):
    pass


def add(folder, one=None, manifest=MANIFEST, bundle=BUNDLE):
    writer = DirectoryWriter(str(folder))
    for data in (manifest, bundle):
        writer.add_artifact(digest(data), pieces(data), no_check)
    return writer.publish(one or resolution(manifest=manifest, bundle=bundle))


def files(folder):
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def ask(folder, text):
    reference = parse_reference(text)
    return parse_answer(DirectoryTransport(str(folder)).resolve(reference), reference, "here")


def assert_sound(folder):
    """Every answer there is names artifacts that are there, whole, and under names a web server takes."""
    for name, data in files(folder).items():
        assert not set(name) & set(':%?#\\"*|<> ')
        if name.startswith("packages/"):
            for kind in ("manifest", "bundle"):
                told = json.loads(data)[kind]
                with open(os.path.join(folder, told["url"]), "rb") as file:
                    content = file.read()
                assert f"sha256:{hashlib.sha256(content).hexdigest()}" == told["digest"]
                assert len(content) == told["size_bytes"]


def test_what_was_added_can_be_resolved_by_version_and_by_digest(tmp_path):
    assert add(tmp_path / "mirror")

    alias = f"acme/one@digest:{digest(MANIFEST)}"
    for text in ("acme/one@1.2.3", alias):
        found = ask(tmp_path / "mirror", text)
        assert (found.manifest, found.bundle, found.version) == (
            descriptor(MANIFEST),
            descriptor(BUNDLE),
            "1.2.3",
        )
    assert_sound(tmp_path / "mirror")
    assert f"packages/acme/one/digest-sha256-{digest(MANIFEST).hex}.json" in files(tmp_path / "mirror")


def test_once_more_changes_nothing(tmp_path):
    add(tmp_path)
    before = files(tmp_path)
    times = {name: os.stat(tmp_path / name).st_mtime_ns for name in before}

    assert not add(tmp_path)

    assert files(tmp_path) == before
    assert {name: os.stat(tmp_path / name).st_mtime_ns for name in before} == times


def test_a_bundle_of_two_packages_is_stored_once(tmp_path):
    add(tmp_path)
    add(
        tmp_path,
        resolution("acme/two@1.0.0", manifest=b"another", version="1.0.0"),
        manifest=b"another",
    )

    assert len(os.listdir(tmp_path / "artifacts" / "sha256")) == 3
    assert ask(tmp_path, "acme/two@1.0.0").bundle == ask(tmp_path, "acme/one@1.2.3").bundle


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_everybody_may_read_whatever_the_umask(tmp_path, umask):
    folder = tmp_path / "new" / "mirror"
    before = os.umask(umask)
    try:
        add(folder)
    finally:
        os.umask(before)

    for parent, folders, names in os.walk(folder):
        for name in folders:
            assert stat.S_IMODE(os.stat(os.path.join(parent, name)).st_mode) & 0o055 == 0o055
        for name in names:
            assert stat.S_IMODE(os.stat(os.path.join(parent, name)).st_mode) == 0o644


def test_a_folder_that_is_there_stays_as_open_as_it_is(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o700)

    add(folder)

    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
def test_an_answer_that_says_otherwise_is_not_overwritten(tmp_path, kind):
    add(tmp_path)
    before = files(tmp_path)

    with pytest.raises(MCPError) as caught:
        add(tmp_path, **{kind: b"something else"})

    assert caught.value.code == "version-moved"
    assert str(digest(b"something else")) in caught.value.message
    assert str(digest({"manifest": MANIFEST, "bundle": BUNDLE}[kind])) in caught.value.message
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before


def test_a_status_is_carried_over_and_changes(tmp_path):
    add(tmp_path, resolution(status="deprecated"))
    assert ask(tmp_path, "acme/one@1.2.3").status == "deprecated"

    assert add(tmp_path, resolution(status="published"))

    alias = f"acme/one@digest:{digest(MANIFEST)}"
    assert {ask(tmp_path, text).status for text in ("acme/one@1.2.3", alias)} == {"published"}


def test_a_digest_has_the_gravest_status_of_its_answers(tmp_path):
    add(tmp_path, resolution(status="deprecated"))
    add(tmp_path, resolution("acme/one@sha:abcdef0", status="published"))

    assert ask(tmp_path, "acme/one@sha:abcdef0").status == "published"
    assert ask(tmp_path, f"acme/one@digest:{digest(MANIFEST)}").status == "deprecated"


def test_a_revocation_reaches_what_is_here_and_nothing_else(tmp_path):
    add(tmp_path)
    writer = DirectoryWriter(str(tmp_path))

    assert writer.restate(resolution(status="revoked"))
    assert not writer.restate(
        resolution("acme/two@1.2.3", manifest=b"another manifest", status="quarantined")
    )

    assert ask(tmp_path, "acme/one@1.2.3").status == "revoked"
    assert ask(tmp_path, f"acme/one@digest:{digest(MANIFEST)}").status == "revoked"
    assert not os.path.exists(tmp_path / "packages" / "acme" / "two")


def test_what_stands_under_a_name_that_differs_in_case_only_is_not_overwritten(tmp_path):
    add(tmp_path, resolution("acme/one@1.0.0-RC.1", version="1.0.0-RC.1"))
    folder = tmp_path / "packages" / "acme" / "one"
    # As a file system shows it that does not mind case.
    os.rename(folder / "1.0.0-RC.1.json", folder / "1.0.0-rc.1.json")
    before = files(tmp_path)

    with pytest.raises(MCPError) as caught:
        add(
            tmp_path,
            resolution("acme/one@1.0.0-rc.1", manifest=b"other", version="1.0.0-rc.1"),
            manifest=b"other",
        )

    assert caught.value.code == "mirror-unwritable"
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before


def test_an_answer_somebody_made_by_hand_with_a_colon_is_the_one_that_changes(tmp_path):
    add(tmp_path, resolution("acme/one@sha:abcdef0"))
    folder = tmp_path / "packages" / "acme" / "one"
    os.rename(folder / "sha-abcdef0.json", folder / "sha:abcdef0.json")

    add(tmp_path, resolution("acme/one@sha:abcdef0", status="deprecated"))

    assert ask(tmp_path, "acme/one@sha:abcdef0").status == "deprecated"
    assert not os.path.exists(folder / "sha-abcdef0.json")


def test_a_damaged_artifact_is_replaced(tmp_path):
    add(tmp_path)
    path = tmp_path / "artifacts" / "sha256" / digest(BUNDLE).hex
    path.write_bytes(BUNDLE[:-1])

    add(tmp_path)

    assert path.read_bytes() == BUNDLE


def test_other_bytes_than_the_digests_are_not_kept(tmp_path):
    writer = DirectoryWriter(str(tmp_path))

    with pytest.raises(MCPError) as caught:
        writer.add_artifact(digest(BUNDLE), pieces(BUNDLE + b"!"), no_check)

    assert caught.value.code == "digest-mismatch"
    assert files(tmp_path) == {}


def test_what_does_not_pass_its_check_is_not_kept(tmp_path):
    def check(path):
        with open(path, "rb") as file:
            assert file.read() == BUNDLE
        raise MCPError("bundle-unsafe", "no", hint="no")

    with pytest.raises(MCPError, match="no"):
        DirectoryWriter(str(tmp_path)).add_artifact(digest(BUNDLE), pieces(BUNDLE), check)

    assert files(tmp_path) == {}
    assert not os.path.exists(tmp_path / ".incoming")


def test_many_writers_fetch_each_artifact_once(tmp_path):
    fetched, failures = [], []
    lock = threading.Lock()

    def counted(data):
        def chunks():
            with lock:
                fetched.append(data)
            yield from pieces(data)()

        return chunks

    def work(number):
        try:
            writer = DirectoryWriter(str(tmp_path))
            manifest = b"manifest of %d" % number
            for data in (manifest, BUNDLE):
                writer.add_artifact(digest(data), counted(data), no_check)
            writer.publish(resolution(f"acme/one@1.0.{number}", manifest=manifest, version=f"1.0.{number}"))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number % 8,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(fetched) == sorted({b"manifest of %d" % number for number in range(8)} | {BUNDLE})
    assert_sound(tmp_path)
    assert len(os.listdir(tmp_path / "packages" / "acme" / "one")) == 16
    assert not os.path.exists(tmp_path / ".incoming")


def in_a_child(work):
    """The wait status of a child that does ``work``; nothing of pytest goes on in it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except MCPError as error:
            os._exit(40 if error.code == "disk-full" else 41)
        except BaseException:  # noqa: BLE001
            os._exit(42)
        os._exit(0)
    return os.waitpid(child, 0)[1]


# Threads of pytest's own do nothing that a child could miss.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

STEPS = ("open", "mkdir", "write", "fchmod", "fsync", "rename", "unlink", "rmdir", "ftruncate")


@pytest.mark.parametrize("after", [False, True], ids=["before a step", "after a step"])
def test_a_kill_at_any_step_leaves_the_package_whole_or_away(tmp_path, after):
    """The child kills itself at one system call after the other; every time the next writer heals."""
    ended, old = False, tmp_path / "old"
    add(old, resolution("acme/old@1.2.3"))
    for point in range(1, 200):
        folder = tmp_path / str(point)
        shutil.copytree(old, folder)
        before = files(folder)

        def work(folder=folder, point=point):
            count = 0

            def dying(function):
                def step(*arguments, **options):
                    nonlocal count
                    count += 1
                    if count == point and not after:
                        os.kill(os.getpid(), signal.SIGKILL)
                    result = function(*arguments, **options)
                    if count == point:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return result

                return step

            for name in STEPS:
                setattr(os, name, dying(getattr(os, name)))
            add(folder, resolution(manifest=b"new"), manifest=b"new")

        status = in_a_child(work)
        assert_sound(folder)
        after_kill = files(folder)
        assert {name: after_kill[name] for name in before} == before
        add(folder, resolution(manifest=b"new"), manifest=b"new")
        assert ask(folder, "acme/one@1.2.3").manifest == descriptor(b"new")
        assert_sound(folder)
        assert not os.path.exists(folder / ".incoming")
        if status == 0:
            ended = True
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert ended
    assert point > 20


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path):
    """A file may grow to so many bytes and no more; the kernel says so as it says that a disk is full."""
    add(tmp_path, resolution("acme/old@1.2.3"))
    before = files(tmp_path)
    large = os.urandom(200_000)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        add(tmp_path, resolution(bundle=large), bundle=large)

    assert os.waitstatus_to_exitcode(in_a_child(work)) == 40

    assert files(tmp_path) == before
    assert not os.path.exists(tmp_path / ".incoming")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "mirror").write_bytes(b"")

    with pytest.raises(MCPError) as caught:
        add(tmp_path / "mirror")

    assert caught.value.code == "mirror-unwritable"
    assert "--to" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "mirror").mkdir(mode=0o555)

    with pytest.raises(MCPError) as caught:
        add(tmp_path / "mirror")

    assert caught.value.code == "mirror-unwritable"
