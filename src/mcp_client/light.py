"""What a warm start takes of heavy modules of the standard library; type checkers see the real ones.

Importing ``typing`` takes as long as building half the sandbox, and each class it makes of NamedTuple is
compiled from text. ``signal`` and ``re`` import ``enum``, ``functools`` and ``contextlib`` import
``collections``, ``hashlib`` loads OpenSSL. What is here is what those are built on, or the few lines needed.
"""

import sys

TYPE_CHECKING = False

__all__ = [
    "TYPE_CHECKING",
    "Generic",
    "NamedTuple",
    "Protocol",
    "TypeVar",
    "cached_property",
    "deque",
    "partial",
    "pattern",
    "sha256",
    "signal",
]

if TYPE_CHECKING:
    import signal
    from collections import deque
    from functools import cached_property, partial
    from hashlib import sha256
    from re import compile as pattern
    from typing import Generic, NamedTuple, Protocol, TypeVar
else:
    from _collections import _tuplegetter, deque
    from _functools import partial

    try:
        import _signal as signal
    except ImportError:
        import signal
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            # Before Python 3.12.
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256

    class Protocol:
        """A base that says nothing."""

    class Generic:
        """A base that takes type arguments and forgets them."""

        def __class_getitem__(cls, arguments):
            return cls

    def TypeVar(name):  # noqa: N802  stands for a class
        """No more than its name."""
        return name

    class cached_property:  # noqa: N801  the name of the real one
        """Computed when it is first asked for, and then an attribute of the instance."""

        def __init__(self, compute):
            self.func = compute
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self.func(instance)
            return value

    class pattern:  # noqa: N801  stands for a function
        """A regular expression that is compiled, and ``re`` imported, when it is first used."""

        def __init__(self, text):
            self._text = text

        def __getattr__(self, name):
            import re

            compiled = re.compile(self._text)
            for method in ("finditer", "findall", "fullmatch", "match", "search", "split", "sub"):
                setattr(self, method, getattr(compiled, method))
            return getattr(compiled, name)

    class _Functools:
        """All that ``_sqlite3`` takes of ``functools``: by it a connection remembers its statements."""

        @staticmethod
        def lru_cache(maxsize):
            from _functools import _lru_cache_wrapper

            return lambda function: _lru_cache_wrapper(function, maxsize, False, None)

    def load_sqlite3():
        """``_sqlite3``, without the adapters for dates that make ``sqlite3`` import ``datetime``."""
        lent = "functools" not in sys.modules and "_functools" in sys.builtin_module_names
        if lent:
            sys.modules["functools"] = _Functools
        try:
            import _sqlite3
        finally:
            if lent:
                del sys.modules["functools"]
        return _sqlite3

    class _Fields(type):
        """Makes a field of each annotation, as ``typing.NamedTuple`` does; it never looks at the types."""

        def __new__(mcs, name, bases, body):
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            for place, field in enumerate(fields):
                body[field] = _tuplegetter(place, None)
            body |= {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
            }
            return type.__new__(mcs, name, bases, body)

    class NamedTuple(tuple, metaclass=_Fields):  # noqa: SLOT001  the metaclass does
        """A tuple whose items have names, with the methods that ``collections.namedtuple`` gives.

        Classes need ``from __future__ import annotations`` in their module.
        """

        def __new__(cls, *args, **kwargs):
            """One value for each field, by place or by name."""
            if kwargs or len(args) != len(cls._fields):
                args = _bind(cls, args, kwargs)
            return tuple.__new__(cls, args)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, /, **changes):
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"{type(self).__name__} has no field {', '.join(changes)}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            """For copies."""
            return tuple(self)

        def __repr__(self):
            """As it is written."""
            shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({shown})"

    def _bind(cls, args, kwargs):
        """A value for each field; TypeError as from any other call."""
        fields, name = cls._fields, cls.__name__
        if len(args) > len(fields):
            raise TypeError(f"{name} takes {len(fields)} values, not {len(args)}")
        placed = dict(zip(fields, args, strict=False))
        for field in kwargs:
            if field in placed or field not in fields:
                raise TypeError(f"{name} has no field {field!r}, or got it twice")
        given = {**cls._field_defaults, **placed, **kwargs}
        missing = [field for field in fields if field not in given]
        if missing:
            raise TypeError(f"{name} needs {', '.join(missing)}")
        return [given[field] for field in fields]
