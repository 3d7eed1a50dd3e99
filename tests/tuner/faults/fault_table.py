"""The rows of a run of faults, and the table of fault by step that they make."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
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
    """By host, and by host, fault and step: how many were thrown, and how each ended.

    Faults that were never thrown count where something failed all the same.
    """
    rows = [row for row in rows if row.step != NEVER or row.failed]
    lines = [
        f"{len(rows)} faults: {told(Counter(row.outcome for row in rows))}",
        f"left over, crashed, wrongly told, or beyond a limit: {sum(row.failed for row in rows)}",
        "",
        "| host | thrown | failed | back within, s | limit, s | stood still, s | limit, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for (host,), group in groups(rows, lambda row: (kind_of(row.host),)):
        limits = limits_of(host)
        granted = f"{limits.confirm_within} to confirm + {limits.slack:g}"
        failed = sum(row.failed for row in group)
        lines.append(
            f"| {host} | {len(group)} | {failed} | {back(group)} | {granted} "
            f"| {stood_still(group)} | {STOOD_STILL:g} |"
        )
    lines += [
        "",
        "| host | fault | step | thrown | outcome | status said | back, s | stood still, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell, group in groups(rows, lambda row: (kind_of(row.host), row.fault, row.step)):
        outcomes = told(Counter(row.outcome for row in group))
        statuses = told(Counter(row.status for row in group))
        lines.append(
            f"| {' | '.join(cell)} | {len(group)} | {outcomes} | {statuses} "
            f"| {back(group)} | {stood_still(group)} |"
        )
    return "\n".join(lines) + "\n"


def groups(
    rows: Sequence[Row], key: Callable[[Row], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], list[Row]]]:
    """The rows of every key, in its order."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return sorted(found.items())


def back(rows: Sequence[Row]) -> str:
    """The longest that a host took to be as it must be."""
    return f"{max(row.back for row in rows):.1f}"


def stood_still(rows: Sequence[Row]) -> str:
    """The longest that guests got nothing."""
    return f"{max(row.stood_still for row in rows):.2f}"


def told(counts: Counter[str]) -> str:
    """Counts in words: ``3 as found, 1 as confirmed``."""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
