import os
import sqlite3
import subprocess
import sys

import pytest

from mcp_client.cache.database import Database
from mcp_client.errors import MCPError

INSERT = "insert or replace into dialect values (?, ?)"
SELECT = "select origin, dialect from dialect order by origin"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "cache" / "metadata.db")


@pytest.fixture
def database(path):
    database = Database(path)
    yield database
    database.close()


def damaged(path):
    return [name for name in os.listdir(os.path.dirname(path)) if ".damaged-" in name]


def content(path):
    database = Database(path)
    try:
        return database.select(SELECT)
    finally:
        database.close()


def test_nothing_is_made_by_reading(database, path):
    assert database.select(SELECT) == []
    assert not os.path.exists(os.path.dirname(path))


def test_what_is_written_is_read_by_others_at_once(database, path):
    database.write(INSERT, [("a", "post"), ("b", "get")])
    assert content(path) == [("a", "post"), ("b", "get")]


def test_all_rows_are_written_or_none(database):
    with pytest.raises(MCPError) as caught:
        database.write(INSERT, [("a", "post"), ("b", None)])
    assert caught.value.code == "cache-unwritable"
    assert database.select(SELECT) == []
    database.write(INSERT, [("c", "get")])
    assert database.select(SELECT) == [("c", "get")]


def test_a_reader_does_not_wait_for_a_writer(database, path):
    database.write(INSERT, [("a", "post")])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("begin immediate")
    writer.execute("delete from dialect")
    assert content(path) == [("a", "post")]
    writer.execute("commit")
    writer.close()
    assert content(path) == []


def overwritten(path):
    with open(path, "r+b") as file:
        file.write(os.urandom(os.path.getsize(path)))


def page_overwritten(path):
    """The first page is whole, so the file opens; what it leads to is not."""
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (os.path.getsize(path) - 4096))


def truncated(path):
    os.truncate(path, 5000)


def without_tables(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("drop table dialect")
    connection.close()


DAMAGES = [overwritten, page_overwritten, truncated, without_tables]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_damaged_database_is_set_aside_and_made_anew(database, path, damage, first):
    database.write(INSERT, [("a", "post")])
    database.close()
    damage(path)
    if first == "read":
        assert database.select(SELECT) == []
    database.write(INSERT, [("b", "get")])
    assert content(path) == [("b", "get")]
    assert len(damaged(path)) == 1


@pytest.mark.parametrize("beginning", [b"", b"not a database at all, only words " * 300])
def test_a_file_that_never_was_a_database(database, path, beginning):
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(beginning)
    database.write(INSERT, [("b", "get")])
    assert content(path) == [("b", "get")]
    assert len(damaged(path)) == bool(beginning)


def test_a_database_another_process_has_already_set_aside_is_left(database, path):
    """Else the second one to notice would throw away what the first one wrote since."""
    database.write(INSERT, [("a", "post")])
    database.close()
    overwritten(path)
    late = Database(path)
    with pytest.raises(sqlite3.DatabaseError):
        late._open()
    assert database.select(SELECT) == []
    database.write(INSERT, [("b", "get")])
    late._set_aside()
    assert late.select(SELECT) == [("b", "get")]
    late.close()
    assert len(damaged(path)) == 1


def test_a_database_of_a_newer_program_is_not_touched(database, path):
    database.write(INSERT, [("a", "post")])
    database.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma user_version = 99")
    connection.close()
    for action in (lambda: database.select(SELECT), lambda: database.write(INSERT, [("b", "get")])):
        with pytest.raises(MCPError) as caught:
            action()
        assert caught.value.code == "cache-damaged"
        assert "newer" in caught.value.message
    assert damaged(path) == []
    connection = sqlite3.connect(path)
    assert connection.execute(SELECT).fetchall() == [("a", "post")]
    connection.close()


def test_a_folder_in_the_place_of_the_database(database, path):
    os.makedirs(path)
    for action in (lambda: database.select(SELECT), lambda: database.write(INSERT, [("b", "get")])):
        with pytest.raises(MCPError) as caught:
            action()
        assert caught.value.code == "cache-unwritable"
        assert path in caught.value.message


def test_a_place_with_odd_characters(tmp_path):
    path = str(tmp_path / "a?b#c%20d é" / "metadata.db")
    database = Database(path)
    database.write(INSERT, [("a", "post")])
    database.close()
    assert content(path) == [("a", "post")]


def together(code, path, count):
    """Run ``code`` in that many processes, which begin at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * count


MANY = """
import sys
from mcp_client.cache.database import Database

database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    database.write("insert or replace into dialect values (?, ?)", [(f"{sys.argv[2]}-{n}", "post")])
    rows = database.select("select origin from dialect where origin like ?", [f"{sys.argv[2]}-%"])
    assert len(rows) == n + 1, rows
"""


@pytest.mark.parametrize("state", ["new", "damaged"])
def test_many_readers_and_writers_lose_nothing(path, state):
    """Whether they make the database together, or find it damaged together."""
    if state == "damaged":
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(os.urandom(20_000))
    together(MANY, path, 6)
    assert len(content(path)) == 6 * 40
    assert len(damaged(path)) == (state == "damaged")


CREATE = """
import sys
from mcp_client.cache.database import Database

databases = [Database(f"{sys.argv[1]}/{n}/metadata.db") for n in range(30)]
print("ready", flush=True)
sys.stdin.readline()
for database in databases:
    database.write("insert or replace into dialect values (?, ?)", [(sys.argv[2], "post")])
"""


def test_processes_that_make_a_database_together_wait_for_each_other(tmp_path):
    """SQLite itself says "database is locked" once in a few hundred times."""
    together(CREATE, str(tmp_path), 8)
    assert all(len(content(str(tmp_path / str(n) / "metadata.db"))) == 8 for n in range(30))
