"""The table that a run of the faults ends with: what befell how many deployments, and what became of them.

Rows travel as properties of the tests' reports, so that they arrive from every worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

ROW, LINE = "fault", "measured"
"""Properties of a report: a ``Row`` as JSON, and a sentence that stands below the table."""

HEADINGS = ("fault", "tries", "left on old", "left on new", "lost", "seconds to recover", "longest", "page away")


@dataclass
class Row:
    """One kind of fault. ``recovered`` are seconds from the fault to the end of the deployment that followed,
    ``away`` seconds for which the application did not answer around a fault.
    """

    kind: str
    old: int = 0
    new: int = 0
    lost: int = 0
    recovered: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)

    @property
    def tries(self) -> int:
        return self.old + self.new + self.lost

    def count(self, new: bool) -> None:
        """One more that ended well, with the old or the new release."""
        self.new += new
        self.old += not new

    def cells(self) -> tuple[str, ...]:
        counts = (self.kind, *map(str, (self.tries, self.old, self.new, self.lost)))
        return (*counts, _seconds(median, self.recovered), _seconds(max, self.recovered), _seconds(max, self.away))

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Row:
        return cls(**json.loads(text))


def printed(rows: Iterable[Row]) -> list[str]:
    """The table, a line a row."""
    cells = [HEADINGS, *(row.cells() for row in sorted(rows, key=lambda row: row.kind))]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    return [_line(line, widths) for line in cells]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])


def _seconds(choose: object, values: Sequence[float]) -> str:
    return f"{choose(values):.1f}" if values and callable(choose) else "-"
