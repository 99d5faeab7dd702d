"""The structures that libproc fills: sizes and places of the fields that are read, by Apple's headers."""

import ctypes

import pytest

from mcp_client.sandbox.darwin import libproc


@pytest.mark.parametrize(
    ("structure", "field", "offset"),
    [
        (libproc.ProcBsdInfo, "pid", 12),
        (libproc.ProcBsdInfo, "ppid", 16),
        (libproc.ProcBsdInfo, "pgid", 100),
        (libproc.ProcBsdInfo, "start_seconds", 120),
        (libproc.ProcBsdInfo, "start_microseconds", 128),
        (libproc.ProcUniqueIdentifierInfo, "unique", 16),
        (libproc.ProcUniqueIdentifierInfo, "parent", 24),
        (libproc.RusageInfoV4, "user", 16),
        (libproc.RusageInfoV4, "resident", 64),
        (libproc.RusageInfoV4, "footprint", 72),
        (libproc.RusageInfoV4, "child_user", 96),
        (libproc.RusageInfoV4, "disk_written", 152),
        (libproc.RusageInfoV4, "lifetime_max_footprint", 240),
    ],
)
def test_a_field_is_where_the_kernel_writes_it(structure, field, offset):
    assert getattr(structure, field).offset == offset


def test_sizes_are_those_of_the_headers():
    assert {made: ctypes.sizeof(made) for made in libproc.SIZES} == libproc.SIZES
