"""The rows of a run of faults, and the table of fault by step that they make."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from limits import STOOD_STILL, kind_of, limits_of
from row import NEVER, Row


def read(path: Path) -> list[Row]:
    """The rows of a file that may not be there yet, by their number."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [msgspec.convert(row, Row, strict=False) for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row.number)


def table(rows: Sequence[Row]) -> str:
    """In all, and by fault and step: how many were thrown, and how each ended."""
    rows = [row for row in rows if row.step != NEVER]
    hosts = Counter(kind_of(row.host) for row in rows)
    limits = [(host, limits_of(host)) for host in sorted(hosts)]
    granted = [f"{of.confirm_within} s + {of.slack:g} s ({host})" for host, of in limits]
    lines = [
        f"{len(rows)} faults ({told(hosts)}): {told(Counter(row.outcome for row in rows))}",
        f"left over, crashed, wrongly told, or beyond a limit: {sum(row.failed for row in rows)}",
        f"longest until the host was as it must be: {max(row.back for row in rows):.1f} s",
        f"limits of that, to confirm and slack: {', '.join(granted)}",
        f"longest that guests got nothing: {max(row.stood_still for row in rows):.2f} s",
        f"limit of that: {STOOD_STILL:g} s",
        "",
        "| fault | step | thrown | outcome | status said | back within, s | stood still, s |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.fault, row.step)):
        groups.setdefault((row.fault, row.step), []).append(row)
    for (fault, step), group in groups.items():
        cells = (
            *(fault, step, str(len(group))),
            *(
                told(Counter(row.outcome for row in group)),
                told(Counter(row.status for row in group)),
            ),
            *(
                f"{max(row.back for row in group):.1f}",
                f"{max(row.stood_still for row in group):.2f}",
            ),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def told(counts: Counter[str]) -> str:
    """Counts in words: ``3 as found, 1 as confirmed``."""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
