"""The compiled filters: kept, checked, and never stale."""

import os

import pytest

from mcp_client.sandbox.linux import filters, syscalls
from mcp_client.sandbox.linux.filters import Profile, load_filters


def test_a_second_load_reads_the_file_of_the_first(tmp_path: os.PathLike[str]) -> None:
    first = load_filters(str(tmp_path), Profile(False))
    assert load_filters(str(tmp_path), Profile(False)) == first
    assert load_filters(str(tmp_path), Profile(True)) != first
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * 7, b"\xff" * 64, b"\1" + b"\0" * 7])
def test_a_damaged_file_is_compiled_again(damage: bytes, tmp_path: os.PathLike[str]) -> None:
    whole = load_filters(str(tmp_path), Profile(False))
    (name,) = os.listdir(tmp_path)
    with open(os.path.join(tmp_path, name), "wb") as file:
        file.write(damage)
    assert load_filters(str(tmp_path), Profile(False)) == whole


def test_a_folder_that_cannot_be_written_costs_only_time() -> None:
    assert load_filters("/proc/no/such/folder", Profile(False))


def test_a_changed_profile_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = filters._key(Profile(False))
    monkeypatch.setattr(filters, "_SOURCES", ("syscalls.py",))
    assert filters._key(Profile(False)) != before


def test_the_allowlist_names_each_call_once() -> None:
    assert len(set(syscalls.ALLOWED)) == len(syscalls.ALLOWED)
    for call in (
        "mount",
        "unshare",
        "setns",
        "ptrace",
        "bpf",
        "keyctl",
        "clone3",
        "io_uring_setup",
        "fork",
        "clone",
    ):
        assert call not in syscalls.ALLOWED
