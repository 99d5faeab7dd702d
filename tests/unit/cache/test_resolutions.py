"""What registries said is remembered, whoever says something else later, and whatever the clock says."""

import os
import sqlite3
import threading

import pytest

from mcp_client.cache import resolutions as module
from mcp_client.cache.resolutions import Resolutions
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.resolution import Standing

DAY = 86_400.0
FORM = {"name": "acme/one"}
ONE = "acme/one@1.0.0"
SHORT, LONG, OTHER = (f"acme/one@sha:{'a' * 7}", f"acme/one@sha:{'a' * 40}", f"acme/one@sha:{'b' * 40}")


@pytest.fixture
def known(stored):
    return stored.cache.resolutions


@pytest.fixture
def answer(stored):
    """answer(reference, manifest, bundle): what a registry says."""

    def make(reference, manifest=b"m", bundle=b"b", registry=None, **changes):
        resolution = stored.resolution(reference, manifest, bundle)._replace(**changes)
        return resolution if registry is None else resolution._replace(registry=registry)

    return make


def refused(known, resolution):
    with pytest.raises(MCPError) as caught:
        known.record(resolution, FORM)
    assert caught.value.code == "version-moved"
    return caught.value


@pytest.mark.parametrize(("manifest", "bundle"), [(b"x", b"b"), (b"m", b"x"), (b"x", b"y")])
def test_a_reference_that_means_something_else_is_refused_with_all_digests(
    known, answer, stored, manifest, bundle
):
    known.record(answer(ONE), FORM)
    error = refused(known, answer(ONE, manifest, bundle))
    for data in (b"m", b"b", manifest, bundle):
        assert str(stored.digest(data)) in error.message
    assert error.details["bundle_now"] == str(stored.digest(bundle))
    kept = known.find(parse_reference(ONE), answer(ONE).registry)
    assert kept.resolution.digests == answer(ONE).digests


def test_the_same_again_is_no_contradiction(known, answer):
    known.record(answer(ONE), FORM)
    known.record(answer(ONE, status="deprecated", message="old"), FORM)
    found = known.find(parse_reference(ONE), answer(ONE).registry).resolution
    assert (found.status, found.message) == ("deprecated", "old")


@pytest.mark.parametrize(("first", "second"), [(SHORT, LONG), (LONG, SHORT)])
def test_two_lengths_of_one_commit_must_agree(known, answer, first, second):
    known.record(answer(first), FORM)
    known.record(answer(second), FORM)
    refused(known, answer(second, bundle=b"x"))
    known.record(answer(OTHER, bundle=b"x"), FORM)


def test_an_unknown_longer_commit_is_held_against_the_shorter(known, answer):
    known.record(answer(SHORT), FORM)
    assert SHORT in refused(known, answer(LONG, b"x", b"y")).message


def test_a_manifest_has_one_bundle(known, answer, stored):
    """A digest: reference proves the manifest only; which bundle belongs to it is remembered."""
    by_digest = f"acme/one@digest:{stored.digest(b'm')}"
    known.record(answer(ONE), FORM)
    refused(known, answer(by_digest, bundle=b"x"))
    known.record(answer(by_digest), FORM)
    # Between releases, commits may share a manifest.
    known.record(answer(OTHER, bundle=b"x"), FORM)


def test_other_packages_and_other_registries_are_other_worlds(known, answer):
    known.record(answer(ONE), FORM)
    known.record(answer("acme/one2@1.0.0", bundle=b"x"), FORM)
    known.record(answer("acme/one-a@1.0.0", bundle=b"x"), FORM)
    known.record(answer(ONE, b"x", b"y", registry="https://elsewhere.test"), FORM)


def test_of_two_that_record_at_once_one_is_refused(stored, answer):
    """Each looks first and sees nothing known: only the write can decide."""
    codes = []
    barrier = threading.Barrier(2)

    def work(bundle):
        own = stored.open()
        own.resolutions.find(parse_reference(ONE), answer(ONE).registry)
        barrier.wait()
        try:
            own.resolutions.record(answer(ONE, bundle=bundle), FORM)
            codes.append(None)
        except MCPError as error:
            codes.append(error.code)
        own.close()

    stored.cache.resolutions.remember_dialect("x", "post")
    threads = [threading.Thread(target=work, args=(bundle,)) for bundle in (b"1", b"2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes, key=str) == [None, "version-moved"]


def test_what_was_decided_is_forgotten_whole(known, answer):
    known.record(answer(SHORT), FORM)
    known.record(answer(LONG), FORM)
    new = answer(LONG, b"x", b"y")
    assert {str(old.reference) for old in known.contradictions(new)} == {SHORT, LONG}
    known.forget_contradictions(new)
    known.record(new, FORM)
    assert known.find(parse_reference(SHORT), new.registry) is None


def test_a_move_is_noted_until_the_registry_says_the_old_again(known, answer):
    known.record(answer(ONE), FORM)
    moved = answer(ONE, b"x")
    known.note_moved(moved)
    find = lambda: known.find(parse_reference(ONE), moved.registry)  # noqa: E731
    assert find().standing.moved == moved.digests
    assert find().resolution.digests == answer(ONE).digests
    known.note_answer(answer(ONE))
    assert find().standing.moved is None


def test_what_is_withdrawn_is_withdrawn_under_all_its_names(known, answer):
    known.record(answer(ONE), FORM)
    known.record(answer(LONG), FORM)
    known.note_answer(answer(LONG, status="revoked", message="leaked"))
    found = known.find(parse_reference(ONE), answer(ONE).registry).resolution
    assert (found.status, found.message) == ("revoked", "leaked")
    # Another name that is said to be in order does not bring it back.
    known.note_answer(answer(LONG))
    assert known.withdrawn(answer(ONE)) is not None
    known.note_answer(answer(ONE))
    assert known.withdrawn(answer(ONE)) is None


def age(stored, resolution, *, checked, tried):
    stored.cache.database.write(
        "update resolution set checked = ?, tried = ? where reference = ?",
        [(checked, tried, str(resolution.reference))],
    )


def test_one_process_of_many_may_ask(stored, answer):
    stored.cache.resolutions.record(answer(ONE), FORM)
    assert not stored.cache.resolutions.claim(answer(ONE), DAY)
    age(stored, answer(ONE), checked=0, tried=0)
    claims = []

    def work():
        own = stored.open()
        claims.append(own.resolutions.claim(answer(ONE), DAY))
        own.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("checked", "tried", "expected"),
    [
        (-10, -10, False),
        (-DAY - 1, -DAY - 1, True),
        (-DAY - 1, -10, False),
        (-DAY - 1, -301, True),
        (DAY, DAY, True),  # the clock was set back since
        (DAY, -10, False),
    ],
)
def test_when_it_is_time_to_ask(stored, answer, monkeypatch, checked, tried, expected):
    now = 1_000_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    stored.cache.resolutions.record(answer(ONE), FORM)
    age(stored, answer(ONE), checked=now + checked, tried=now + tried)
    standing = stored.cache.resolutions.find(parse_reference(ONE), answer(ONE).registry).standing
    assert standing.due(now, DAY) is expected
    assert stored.cache.resolutions.claim(answer(ONE), DAY) is expected


def test_never_is_never():
    assert Standing().due(1e9, None) is False
    assert Standing().due(1e9, DAY) is True


def damage(path, how):
    if how == "last pages":
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) * 3 // 4 // 4096 * 4096)
            file.write(b"\xff" * (os.path.getsize(path) // 4))
    elif how == "a middle page":
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2 // 4096 * 4096)
            file.write(b"\xff" * 4096)
    else:
        os.truncate(path, 100)


@pytest.mark.parametrize(("how", "least"), [("last pages", 1), ("a middle page", 1), ("all", 0)])
def test_a_damaged_database_still_tells_what_can_be_read(stored, answer, how, least):
    """Else damage would make the next answer of a registry the first."""
    references = [f"acme/one@1.0.{number}" for number in range(400)]
    for reference in references:
        stored.cache.resolutions.record(answer(reference, reference.encode(), reference.encode()), FORM)
    stored.cache.close()
    path = os.path.join(stored.folder, "metadata.db")
    connection = sqlite3.connect(path)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    damage(path, how)
    # Enough reads and writes to meet the damage.
    for reference in references:
        stored.cache.resolutions.find(parse_reference(reference), answer(reference).registry)
    stored.cache.resolutions.remember_dialect("x", "post")
    kept = [one for one in references if stored.cache.resolutions.contradictions(answer(one, b"evil"))]
    assert len(kept) >= least * len(references) // 4
    assert any(".damaged-" in name for name in os.listdir(stored.folder))


def test_nothing_that_decides_about_a_run_is_taken_from_a_damaged_database(stored):
    resolution = stored.package("a/b@1.0.0")
    stored.cache.close()
    path = os.path.join(stored.folder, "metadata.db")
    connection = sqlite3.connect(path)
    connection.execute("drop table dialect")
    connection.close()
    stored.cache.database.write("insert or replace into dialect values (?, ?)", [("a", "post")])
    assert stored.cache.find(resolution.reference, resolution.registry) is None
    kept = Resolutions(stored.cache.database).find(resolution.reference, resolution.registry)
    assert kept.resolution.digests == resolution.digests
    assert kept.manifest_form is None
