import json
import os
import stat
import subprocess
import sys

import pytest

from mcp_client.errors import MCPError
from mcp_client.registry.credentials import Credentials

ORIGIN, OTHER = "https://registry.example", "https://registry.example:8443"


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "a home" / "auth.json")


def refused(act, code):
    with pytest.raises(MCPError) as caught:
        act()
    assert caught.value.code == code
    assert "sesame" not in caught.value.message + caught.value.hint
    return caught.value


def put(file, content, mode=0o600):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as opened:
        opened.write(content)
    os.chmod(file, mode)


def test_without_a_file_there_is_no_token_and_none_is_made(file):
    credentials = Credentials(file)
    assert credentials.token_for(ORIGIN) is None
    assert credentials.origins() == []
    assert credentials.remove(ORIGIN) is False
    assert not os.path.exists(os.path.dirname(file))


def test_a_token_is_of_one_origin(file):
    credentials = Credentials(file)
    credentials.store(ORIGIN, "sesame")
    credentials.store(OTHER, "other")
    credentials.store(ORIGIN, "sesame2")
    again = Credentials(file)
    assert again.token_for(ORIGIN) == "sesame2"
    assert again.token_for("https://registry.example.evil.example") is None
    assert again.origins() == [ORIGIN, OTHER]
    assert again.remove(ORIGIN) is True
    assert again.remove(ORIGIN) is False
    assert Credentials(file).origins() == [OTHER]


def test_only_the_owner_can_read_it(file):
    old = os.umask(0)
    try:
        Credentials(file).store(ORIGIN, "sesame")
    finally:
        os.umask(old)
    folder = os.path.dirname(file)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_what_others_may_read_is_not_used(file, mode):
    credentials = Credentials(file)
    credentials.store(ORIGIN, "sesame")
    os.chmod(file, mode)
    for act in (
        lambda: credentials.token_for(ORIGIN),
        lambda: credentials.store(ORIGIN, "sesame"),
        lambda: credentials.remove(ORIGIN),
    ):
        error = refused(act, "credentials-unreadable")
        assert error.hint == f"chmod 600 '{file}'"
    os.chmod(file, 0o600)
    assert credentials.token_for(ORIGIN) == "sesame"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "tokens": {"https://registry.example": "sesame',
        b"sesame",
        b"[]",
        b"null",
        b'{"tokens": null}',
        b'{"tokens": {"https://registry.example": 5}}',
        b'{"tokens": {"": "sesame"}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (2 << 20),
    ],
    ids=range(11),
)
def test_a_torn_file_is_an_error_and_stays(file, content):
    put(file, content)
    credentials = Credentials(file)
    assert "mcp login" in refused(lambda: credentials.token_for(ORIGIN), "credentials-unreadable").hint
    refused(lambda: credentials.store(ORIGIN, "new"), "credentials-unreadable")
    with open(file, "rb") as opened:
        assert opened.read() == content


def test_a_folder_in_its_place(file):
    os.makedirs(file)
    refused(lambda: Credentials(file).token_for(ORIGIN), "credentials-unreadable")


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    credentials = Credentials(str(tmp_path / "file" / "auth.json"))
    refused(lambda: credentials.store(ORIGIN, "sesame"), "credentials-unwritable")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(file, monkeypatch):
    credentials = Credentials(file)
    credentials.store(ORIGIN, "sesame")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space" in refused(lambda: credentials.store(ORIGIN, "new"), "credentials-unwritable").message
    assert credentials.token_for(ORIGIN) == "sesame"
    assert sorted(os.listdir(os.path.dirname(file))) == ["auth.json", "auth.json.lock"]


def test_what_a_killed_writer_left_is_in_nobodys_way(file):
    credentials = Credentials(file)
    put(f"{file}.new", b"half", 0o644)
    credentials.store(ORIGIN, "sesame")
    assert credentials.token_for(ORIGIN) == "sesame"
    assert not os.path.exists(f"{file}.new")


def test_a_link_planted_at_the_staged_name_is_not_followed(file, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.makedirs(os.path.dirname(file))
    os.symlink(victim, f"{file}.new")
    Credentials(file).store(ORIGIN, "sesame")
    assert victim.read_text() == "precious"


STORE_MANY = """
import sys
from mcp_client.registry.credentials import Credentials
credentials = Credentials(sys.argv[1])
sys.stdin.read()
for number in range(20):
    credentials.store(f"https://{sys.argv[2]}-{number}", "sesame")
    assert credentials.token_for(f"https://{sys.argv[2]}-{number}") == "sesame"
    if number % 2:
        assert credentials.remove(f"https://{sys.argv[2]}-{number}")
"""


def test_concurrent_writers_lose_nothing(file):
    writers = [
        subprocess.Popen([sys.executable, "-c", STORE_MANY, file, str(name)], stdin=subprocess.PIPE)
        for name in range(5)
    ]
    for writer in writers:
        writer.stdin.close()
    assert [writer.wait() for writer in writers] == [0] * 5
    expected = {f"https://{name}-{number}" for name in range(5) for number in range(0, 20, 2)}
    assert set(Credentials(file).origins()) == expected
    with open(file, "rb") as opened:
        assert json.load(opened)["version"] == 1
