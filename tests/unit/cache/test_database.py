import fcntl
import os
import shutil
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


def wait_for_others(monkeypatch, seconds):
    for module in ("database", "schema"):
        monkeypatch.setattr(f"mcp_client.cache.{module}.BUSY_SECONDS", seconds)


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


# -- in the way --------------------------------------------------------------------------------------------

HANG = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma locking_mode=exclusive" if sys.argv[2] == "exclusive" else "select 1")
connection.execute("begin immediate")
connection.execute("insert or replace into dialect values ('x', 'y')")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def hang(path, database):
    """Let another process lock the database and do nothing more."""
    database.write(INSERT, [("a", "post")])
    database.close()
    started = []

    def start(how):
        process = subprocess.Popen(
            [sys.executable, "-c", HANG, path, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "locked\n"

    yield start
    for process in started:
        process.communicate("\n")


def test_a_process_that_hangs_while_it_writes_is_not_waited_for_for_ever(hang, path, monkeypatch):
    wait_for_others(monkeypatch, 0.05)
    hang("writing")
    assert content(path) == [("a", "post")]
    database = Database(path)
    with pytest.raises(MCPError) as caught:
        database.write(INSERT, [("b", "get")], wait=0.05)
    assert caught.value.code == "cache-busy"
    assert path in caught.value.message
    assert "fuser" in caught.value.hint
    database.close()


def test_a_process_that_keeps_everybody_out_is_told_of_as_well(hang, path, monkeypatch):
    wait_for_others(monkeypatch, 0.05)
    hang("exclusive")
    with pytest.raises(MCPError) as caught:
        content(path)
    assert caught.value.code == "cache-busy"


def test_a_note_is_not_worth_waiting_for(hang, path, monkeypatch):
    """A run that has started its server notes its use, and must not lose sight of the server meanwhile."""
    monkeypatch.setattr("mcp_client.cache.database._NOTE_SECONDS", 0.01)
    wait_for_others(monkeypatch, 1e6)
    hang("writing")
    database = Database(path)
    database.note(INSERT, "b", "get")
    assert database.select(SELECT) == [("a", "post")]
    database.close()


def test_a_folder_that_another_process_keeps_locked(path, monkeypatch):
    wait_for_others(monkeypatch, 0.05)
    os.makedirs(os.path.dirname(path))
    held = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(MCPError) as caught:
        Database(path).write(INSERT, [("a", "post")])
    assert caught.value.code == "cache-busy"
    os.close(held)


@pytest.mark.parametrize("gone", ["-shm", "-wal"])
def test_a_journal_of_which_half_is_gone(database, path, gone, tmp_path):
    database.write(INSERT, [("a", "post")])
    copy = str(tmp_path / "copy" / "metadata.db")
    shutil.copytree(os.path.dirname(path), os.path.dirname(copy))
    os.unlink(copy + gone)
    late = Database(copy)
    late.write(INSERT, [("b", "get")])
    late.close()
    assert ("b", "get") in content(copy)
    if gone == "-shm":
        assert ("a", "post") in content(copy)
        assert damaged(copy) == []


def test_the_journal_does_not_grow_without_bounds(path):
    """With others that have it open all the time, so that no close ever empties it."""
    reader, writer = Database(path), Database(path)
    for n in range(500):
        writer.note(INSERT, f"{n % 7}", "x" * 9000)
        reader.select(SELECT)
    assert os.path.getsize(f"{path}-wal") < 8_000_000
    reader.close()
    writer.close()


def test_integrity_is_checked(database, path):
    database.write(INSERT, [(str(n), "post") for n in range(2000)])
    assert database.check() == []
    database.close()
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) - 4096)
        file.write(os.urandom(4096))
    assert Database(path).check()


def test_a_database_of_an_older_release_is_brought_up_to_date(path):
    from mcp_client.cache.schema import _SCHEMA_STEPS

    os.makedirs(os.path.dirname(path))
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(f"{''.join(_SCHEMA_STEPS[:2])} pragma user_version=2;")
    old.execute("insert into dialect values ('a', 'post')")
    old.close()
    assert content(path) == [("a", "post")]
    database = Database(path)
    assert database.select("select * from entry") == []
    database.close()
    assert damaged(path) == []


def plan(database, query):
    return " ".join(row[3] for row in database.select(f"explain query plan {query}", ()))


def test_a_list_reads_no_manifest_and_a_run_reads_one_row(database):
    from mcp_client.cache.inventory import _REFERENCES

    database.write(INSERT, [("a", "post")])
    assert "COVERING INDEX" in plan(database, _REFERENCES)
    for query in (
        "select form from resolution where registry = 'r' and reference = 'x'",
        "select identity from entry where kind = 'tree' and digest = 'x'",
    ):
        assert "USING PRIMARY KEY" in plan(database, query)
        assert "SCAN" not in plan(database, query)
