"""Tables of results: as text for a terminal, as Markdown for the report."""

from collections.abc import Sequence
from typing import NamedTuple

# A bar that does not end a cell.
BAR = "\\|"


class Table(NamedTuple):
    """``note`` says what was measured and in which unit; cells are finished texts, the first is a name."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Aligned columns; numbers stand to the right."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        named = _named(self)
        shown = [
            "  ".join(
                cell.ljust(width) if at < named else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([f"== {self.title}", self.note, "", *shown, ""])

    def markdown(self) -> str:
        """A section with one table."""
        named = _named(self)
        marks = ["---" if at < named else "---:" for at in range(len(self.columns))]
        lines = [_line(self.columns), _line(marks), *(_line(row) for row in self.rows)]
        return "\n".join([f"## {self.title}", "", self.note, "", *lines, ""])


def _named(table: Table) -> int:
    """How many columns from the left hold names and not numbers."""
    for at in range(1, len(table.columns)):
        if any(row[at] and (row[at][0].isdigit() or row[at][0] in "-+?") for row in table.rows):
            return at
    return 1


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"
