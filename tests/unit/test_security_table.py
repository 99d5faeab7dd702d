"""docs/SECURITY.md cites tests that exist, and says they ran only where they can run."""

import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join(ROOT, "tests")
CITED = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/?[a-z_]+\.py|(?:unit|integration|security|vm)/[a-z_/]+)`")
GROUP = re.compile(rf"((?:{CITED.pattern}(?:, )?)+) ([A-Z](?: [A-Z])*)\b")
# Where tests of a folder can have run, the longest name first.
WHERE = (
    ("platform/darwin/test_macos.py", "M"),
    ("platform/darwin/test_profile.py", "L"),
    ("platform/darwin", "S"),
    ("windows", "W C"),
    ("binary", "B"),
    ("vm", "V"),
    ("security", "L"),
    ("integration", "L"),
    ("unit", "L"),
)
NO_TEST_WANTED = re.compile(r"as beside|the same(?: code)?$|\*none\*|no single file")


def section(heading):
    with open(os.path.join(ROOT, "docs", "SECURITY.md"), encoding="utf-8") as file:
        return re.split(r"^## ", file.read().partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def rows(heading):
    """The cells of each row of the section's table, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "---" not in line][
        1:
    ]


PROMISES = rows("Promises")
PLATFORMS = [(row[0], cell) for row in rows("Platforms") for cell in row[1:]]
NAMES = [f"{number}-{name}" for number, (name, _) in enumerate(PLATFORMS)]


def wrong_citations(cell):
    """What a cell of the platform table says that cannot be; empty when all is well."""
    wrong, folder = [], ""
    grouped = {match.start(1): match for match in GROUP.finditer(cell)}
    covered = [(match.start(1), match.end(1), match[match.lastindex]) for match in grouped.values()]
    for match in CITED.finditer(cell):
        path = match[1] if "/" in match[1] else f"{folder}/{match[1]}"
        folder = os.path.dirname(path)
        if not os.path.exists(os.path.join(TESTS, path)):
            wrong.append(f"there is no tests/{path}")
        letters = next((told for start, end, told in covered if start <= match.start() < end), "")
        can_be = next((known for place, known in WHERE if path.startswith(place)), "")
        if not letters or not set(letters.split()) <= set(can_be.split()):
            wrong.append(f"tests/{path} says {letters or 'nowhere'}, and runs on {can_be or 'nothing'}")
    if not CITED.search(cell) and not NO_TEST_WANTED.search(cell):
        wrong.append("no test is cited")
    return wrong


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0][:40])
def test_each_promise_cites_tests_that_exist(row):
    cited = re.findall(r"`([\w/]+(?:\.py)?)`", row[-1])

    assert len(row) == 3
    assert cited
    assert [path for path in cited if not os.path.exists(os.path.join(TESTS, path))] == []


@pytest.mark.parametrize(("name", "cell"), PLATFORMS, ids=NAMES)
def test_each_cell_of_the_platform_table_cites_tests_where_they_can_run(name, cell):
    assert wrong_citations(cell) == []


def test_the_table_is_read_whole():
    assert len(PROMISES) >= 40
    assert len(PLATFORMS) >= 15 * 4


@pytest.mark.parametrize(
    "cell",
    [
        "a mechanism",
        "a mechanism: `security/test_none.py` L",
        "a mechanism: `security/test_files.py`",
        "called tested where it never ran: `windows/test_run.py` L",
        "a stand-in is not the system: `platform/darwin/test_launch.py` M",
        "Seatbelt in a stand-in: `platform/darwin/test_profile.py` L, `test_macos.py` S",
    ],
)
def test_a_cell_that_says_too_much_is_noticed(cell):
    assert wrong_citations(cell)
