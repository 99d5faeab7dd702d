"""Structures have the sizes and offsets of the Windows SDK's headers, as a compiler of Windows has them."""

import os
import subprocess

import fields


def test_sizes_and_offsets_are_those_of_the_headers(programs):
    program = os.path.join(programs, "layout.exe")
    answer = subprocess.run([program], capture_output=True, check=True, timeout=60)
    measured = {}
    for line in answer.stdout.decode().splitlines():
        *place, number = line.split()
        measured[tuple(place)] = int(number)

    ours = {}
    for name, structure in fields.structures():
        ours[name, "size"] = fields.size(structure)
        for field, *_ in structure._fields_:
            ours[name, fields.in_c(field)] = getattr(structure, field).offset

    assert ours == measured
    assert len(ours) >= 100
