"""The stand-ins of a warm start do what they stand for."""

import copy
import hashlib
import pickle
import subprocess
import sys
import typing

import pytest

from mcp_client import light
from mcp_client.sandbox.spec import Bind, Tmpfs


class Real(typing.NamedTuple):
    """As typing makes it."""

    name: str
    size: int = 3
    tags: tuple[str, ...] = ()

    @property
    def twice(self) -> int:
        return self.size * 2


# What the stand-in's own metaclass makes of the same body; tests do not evaluate annotations lazily.
Light = type(light.NamedTuple)(
    "Light",
    (light.NamedTuple,),
    {
        "__module__": __name__,
        "__doc__": Real.__doc__,
        "__annotations__": {"name": "str", "size": "int", "tags": "tuple[str, ...]"},
        "size": 3,
        "tags": (),
        "twice": property(lambda self: self.size * 2),
    },
)


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: kind("a"),
        lambda kind: kind("a", 5),
        lambda kind: kind(name="a", tags=("x",)),
        lambda kind: kind("a", tags=("x",), size=0),
        lambda kind: kind("a")._replace(size=9),
        lambda kind: kind._make(["a", 1, ()]),
        lambda kind: copy.copy(kind("a", 2)),
        lambda kind: pickle.loads(pickle.dumps(kind("a", 2))),
    ],
)
def test_a_value_is_what_typing_makes(make):
    real, value = make(Real), make(Light)
    assert tuple(real) == tuple(value) == value == real
    assert hash(real) == hash(value)
    assert (value.name, value.size, value.tags, value.twice) == (real.name, real.size, real.tags, real.twice)
    assert value._asdict() == real._asdict()
    assert repr(value) == repr(real).replace("Real", "Light")


def test_a_class_tells_the_same():
    for name in ("_fields", "_field_defaults", "__match_args__", "__slots__"):
        assert getattr(Light, name) == getattr(Real, name), name
    assert issubclass(Light, tuple)
    assert not hasattr(Light("a"), "__dict__")


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: kind(),
        lambda kind: kind("a", 1, (), 2),
        lambda kind: kind("a", name="b"),
        lambda kind: kind("a", colour="red"),
        lambda kind: kind(size=1),
    ],
)
def test_a_wrong_call_is_a_type_error(make):
    for kind in (Real, Light):
        with pytest.raises(TypeError):
            make(kind)


def test_a_value_cannot_be_changed():
    for value in (Real("a"), Light("a")):
        with pytest.raises(AttributeError):
            value.size = 4
        with pytest.raises(AttributeError):
            value.colour = "red"
        with pytest.raises((TypeError, ValueError)):
            value._replace(colour="red")


def test_the_sandbox_is_planned_in_such_values():
    assert type(Bind) is type(Light), "the comparison above is of what is used"
    match Tmpfs("/tmp", 1, 2):
        case Tmpfs(target=target, size=size):
            assert (target, size) == ("/tmp", 1)


def test_sha256_is_sha256():
    for data in (b"", b"abc", bytes(range(256)) * 300):
        assert light.sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_cached_property_is_computed_once():
    class Owner:
        asked = 0

        @light.cached_property
        def value(self):
            """What it is."""
            self.asked += 1
            return self.asked

    owner = Owner()
    assert (owner.value, owner.value, Owner().value) == (1, 1, 1)
    assert Owner.value.__doc__ == "What it is."


def test_a_pattern_is_a_compiled_one():
    digits = light.pattern(r"(?i)x([0-9]+)")
    assert digits.findall("X1 x22") == ["1", "22"]
    assert digits.match("x7")[1] == "7"
    assert digits.sub("-", "ax1b") == "a-b"


SQLITE = """
import sys
{before}
was_there = "functools" in sys.modules
from mcp_client.light import load_sqlite3

connection = load_sqlite3().connect(":memory:")
assert ("functools" in sys.modules) is was_there, "it is lent for the import only"
connection.execute("create table t (a)")
connection.executemany("insert into t values (?)", [(n,) for n in range(300)])
# More statements than a connection remembers, and each of them twice.
for n in (*range(300), *range(300)):
    assert connection.execute(f"select a from t where a = {{n}}").fetchall() == [(n,)]
import functools, sqlite3

assert functools.lru_cache(lambda: 1)() == functools.partial(int, "1")() == 1
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
"""


@pytest.mark.parametrize("before", ["", "import functools", "import sqlite3"])
def test_sqlite_works_without_functools_and_leaves_nothing_in_its_place(before):
    command = [sys.executable, "-c", SQLITE.format(before=before)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
