"""The text of a Seatbelt profile: whole, of known words, the same as what was read by people, and closed.

Whether the kernel does what it says is not to be found out here: test_macos.py does, on macOS.
"""

import os
import sys
from fnmatch import fnmatch

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import sbpl

from mcp_client.sandbox.darwin.profile import World, build_profile

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
BUNDLE, HOME, TEMPORARY = (
    "/Users/u/.mcp/trees/ab",
    "/Users/u/.mcp/scratch/1/home",
    "/Users/u/.mcp/scratch/1/tmp",
)
PLAIN = World(
    (BUNDLE,), (HOME, TEMPORARY), (f"{BUNDLE}/bin/server",), subprocess=False, executable_scratch=False
)
WORLDS = {
    "plain": PLAIN,
    "subprocess": PLAIN._replace(subprocess=True, executable_scratch=True),
    "proxied": PLAIN._replace(proxy=50001),
    "listening": PLAIN._replace(proxy=50001, port=50002),
}
HOSTILE = [
    '/a"b',
    "/a\\",
    "/a) (allow default) (",
    "/a\n(allow default)\n",
    "/ä/\u202e/😀",
    '/(param "HOME")',
    "/a=b",
    "/-D",
]


@pytest.mark.parametrize("name", WORLDS)
def test_the_text_is_the_one_that_was_read(name):
    """To write them anew after a change that was meant: MCP_WRITE_GOLDEN=1."""
    path = os.path.join(GOLDEN, f"{name}.sb")
    text = build_profile(WORLDS[name]).text
    if os.environ.get("MCP_WRITE_GOLDEN"):
        with open(path, "w") as file:
            file.write(text)
    with open(path) as file:
        assert text == file.read()


@pytest.mark.parametrize("name", WORLDS)
def test_it_is_whole_and_of_known_words(name):
    profile = build_profile(WORLDS[name])

    assert rules_of(profile)


@pytest.mark.parametrize(
    "text",
    [
        '(version 1) (deny default) (allow file-read* (subpath "/a")',
        "(version 1) (deny default))",
        '(version 1) (deny default) (allow file-reed* (subpath "/a"))',
        '(version 1) (deny default) (allow file-read* (subpaths "/a"))',
        '(version 1) (deny default) (allow file-read* (global-name "a"))',
        '(version 1) (deny default) (allow file-read* (subpath (param "NOBODY")))',
        "(version 1) (allow default)",
    ],
)
def test_the_check_itself_finds_slips(text):
    with pytest.raises(ValueError):
        sbpl.check(text, {})


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("field", ["readable", "writable", "programs"])
def test_no_path_gets_into_the_text(path, field):
    """The text depends on how many there are, and on nothing else; the value is an argument of its own."""
    hostile = PLAIN._replace(**{field: (*getattr(PLAIN, field), path)})
    harmless = PLAIN._replace(**{field: (*getattr(PLAIN, field), "/other")})
    profile = build_profile(hostile)
    argv = profile.wrap("/usr/bin/sandbox-exec", ["/server", "-D", "x"])

    assert _without_ancestors(profile.text) == _without_ancestors(build_profile(harmless).text)
    assert [part.partition("=")[2] for part in argv].count(path) == 1
    assert argv[argv.index("--") :] == ["--", "/server", "-D", "x"]
    rules_of(profile)


def _without_ancestors(text):
    return [line for line in text.splitlines() if "ABOVE_" not in line and "read-metadata" not in line]


def rules_of(profile):
    return sbpl.check(profile.text, profile.parameters)


def test_no_rule_is_without_a_filter_but_those_that_are_meant():
    """``(allow file-read*)`` would be everything: an empty list of paths must not become that."""
    bare = {
        tuple(operations)
        for name in WORLDS
        for verdict, operations, filters in sbpl.check(
            build_profile(WORLDS[name]).text, build_profile(WORLDS[name]).parameters
        )
        if verdict == "allow" and not filters
    }
    empty = build_profile(World((), (), (), subprocess=False, executable_scratch=False))

    assert bare == {("process-fork",), ("ipc-posix-sem",)}
    assert all(
        filters for verdict, _, filters in sbpl.check(empty.text, empty.parameters) if verdict == "allow"
    )


@pytest.mark.parametrize(
    ("name", "operation", "allowed"),
    [
        ("plain", "process-fork", False),
        ("subprocess", "process-fork", True),
        ("plain", "network-outbound", False),
        ("proxied", "network-outbound", True),
        ("proxied", "network-inbound", False),
        ("listening", "network-inbound", True),
        ("listening", "network-bind", True),
        ("subprocess", "network-bind", False),
    ],
)
def test_what_each_world_adds(name, operation, allowed):
    profile = build_profile(WORLDS[name])
    last = [
        verdict
        for verdict, operations, _ in rules_of(profile)
        if any(fnmatch(operation, one) for one in operations)
    ]

    assert (last[-1:] == ["allow"]) is allowed


def test_only_the_servers_own_program_is_executed_without_subprocess():
    profile = build_profile(PLAIN)
    rules = [rule for rule in rules_of(profile) if "process-exec*" in rule[1]]

    assert rules == [("allow", ["process-exec*"], [["literal", ["param", "PROGRAM_0"]]])]
    assert profile.parameters["PROGRAM_0"] == f"{BUNDLE}/bin/server"


def test_nothing_is_written_but_private_folders_and_devices():
    profile = build_profile(WORLDS["subprocess"])
    written = [
        filters
        for verdict, operations, filters in rules_of(profile)
        if verdict == "allow" and any(one.startswith("file-write") for one in operations)
    ]
    places = {str(value) for filters in written for _, value in filters if isinstance(value, str)}

    assert [["subpath", ["param", "WRITE_0"]], ["subpath", ["param", "WRITE_1"]]] in written
    assert all(place.startswith("/dev/") for place in places)


def test_what_lies_above_is_only_passed_through():
    profile = build_profile(PLAIN)
    above = {value for name, value in profile.parameters.items() if name.startswith("ABOVE_")}
    rules = rules_of(profile)

    assert "/Users/u" in above
    assert {
        operation
        for _, operations, filters in rules
        for operation in operations
        if any(isinstance(one[-1], list) and str(one[-1][-1]).startswith("ABOVE_") for one in filters)
    } == {"file-read-metadata"}
