"""Prints C that measures every structure of windows/structures.py, for programs/layout.c."""

import ctypes
import os
import sys

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")


def structures():
    """(name, structure) of each; those of other names in C are renamed."""
    sys.path.insert(0, SOURCE)
    from mcp_client.windows import structures as module

    for name in dir(module):
        value = getattr(module, name)
        if isinstance(value, type) and issubclass(value, ctypes.Structure) and value is not ctypes.Structure:
            yield name, value


def size(structure):
    """In bytes."""
    return ctypes.sizeof(structure)


def in_c(field):
    """The field as C has it, where that is in a structure of its own."""
    if field in {"AceType", "AceFlags", "AceSize"}:
        return f"Header.{field}"
    return {"LuidLow": "Luid.LowPart", "LuidHigh": "Luid.HighPart"}.get(field, field)


if __name__ == "__main__":
    for name, structure in structures():
        print(f"SIZE({name})")
        for field, *_ in structure._fields_:
            print(f"FIELD({name}, {in_c(field)})")
