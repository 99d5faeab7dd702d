"""The harness of the benchmarks: turns, statistics and tables. What it measures is not measured here."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks"))

from measure import Contender, Scale, Spread, answered, percentile, take_turns
from table import Table

ECHO = "import sys; sys.stdin.readline(); print({!r}, flush=True); sys.stdin.read()"


def test_contenders_take_turns_and_nobody_is_always_first():
    order = []
    actions = {name: (lambda name=name: order.append(name) or len(order)) for name in "abc"}
    taken = take_turns(actions, 3)
    assert "".join(order) == "abcbcacababc"
    assert {name: len(values) for name, values in taken.items()} == {"a": 3, "b": 3, "c": 3}
    assert min(min(values) for values in taken.values()) == 4, "the first turn is to warm up only"


def test_medians_quartiles_and_percentiles():
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)
    assert Spread.of([7.0]) == (7.0, 7.0, 7.0)
    assert Spread(1.0, 2.25, 3.0).cells(1) == ("2.2", "1.0 .. 3.0")
    assert percentile(range(1, 101), 99) == 99
    assert percentile([1.0], 99) == 1.0


def test_haste_never_leaves_nothing_to_do():
    assert Scale(4, 0.001).of(10) == 1
    assert Scale(4, 0.1).of(512) == 51


def test_a_table_as_text_and_as_markdown():
    table = Table(
        "Title", "A note.", ("server", "by", "ms"), [["C", "bare", "1.0"], ["Python", "mcp", "12.5"]]
    )
    assert table.text().splitlines()[3:] == ["server  by      ms", "C       bare   1.0", "Python  mcp   12.5"]
    assert table.markdown().splitlines()[4:6] == ["| server | by | ms |", "| --- | --- | ---: |"]


def test_a_bar_in_a_name_ends_no_cell_and_an_empty_one_is_no_number():
    table = Table("Title", "A note.", ("by", "in", "ms"), [["curl | tar", "mcp", "1.0"], ["sum", "", "1.0"]])
    lines = table.markdown().splitlines()
    assert lines[5:7] == ["| --- | --- | ---: |", "| curl \\| tar | mcp | 1.0 |"]


@pytest.mark.parametrize(("line", "good"), [('{"result": {}}', True), ('{"error": {}}', False), ("", False)])
def test_only_an_answer_counts(line, good):
    one = Contender("python", [sys.executable, "-c", ECHO.format(line)], dict(os.environ))
    if good:
        with answered(one) as process:
            assert process.poll() is None
        assert process.returncode == 0
    else:
        with pytest.raises(RuntimeError, match="did not answer"), answered(one):
            pass
