"""What a comparison says: one row for each policy and host, and the files it leaves.

``comparison.json`` holds everything and how it was made, ``scores.csv`` one line for each score of
what was kept, ``tried.csv`` one for each setting that was tried.
"""

import csv
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from rich.table import Table

from envs.errors import InputError, about
from envs.host import Record
from envs.reward import Guards
from tuner.compare import Results, Score
from tuner.judge import Interval
from tuner.statistics import mean_ratio
from tuner.tables import plain_table
from tuner.tune import Budget

ALL_HOSTS = "all hosts"
PACKAGES = ("viotune", "numpy", "numba", "scipy", "gymnasium", "torch")


class Row(Record, frozen=True):
    """A policy on a host: means over the runs, and its ratio to the host as found.

    ``broken`` names each guard that was missed on average, with the number of runs in which it was.
    """

    host: str
    policy: str
    runs: int
    bandwidth: float
    cores: float
    per_core: float
    ratio: Interval
    broken: dict[str, int]


class Provenance(Record, frozen=True):
    """How a comparison was made."""

    command: str
    date: str
    python: str
    machine: str
    versions: dict[str, str]
    runs: tuple[int, ...]
    budget: Budget
    guards: Guards


class Comparison(Record, frozen=True):
    """A comparison as it is stored.

    ``rows`` sum up what each policy kept, ``proposed`` what it would have kept without fallback:
    in each run the trial of the highest reward, as measured while choosing.
    """

    provenance: Provenance
    rows: tuple[Row, ...]
    proposed: tuple[Row, ...]
    scores: tuple[Score, ...]
    tried: tuple[Score, ...]


def comparison(results: Results, budget: Budget, guards: Guards) -> Comparison:
    """Results with their summary and how they were made."""
    return Comparison(
        provenance=Provenance(
            command=shlex.join(["tuner", *sys.argv[1:]]),
            date=datetime.now(UTC).isoformat("T", "seconds"),
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.release()} {platform.machine()}",
            versions=dict(_versions()),
            runs=tuple(sorted({score.run for score in results.scores})),
            budget=budget,
            guards=guards,
        ),
        rows=summary(results.scores),
        proposed=summary(best_tried(results.tried)),
        scores=results.scores,
        tried=results.tried,
    )


def best_tried(tried: Sequence[Score]) -> tuple[Score, ...]:
    """Of what each policy tried on a host in a run, the one with the highest reward."""
    best: dict[tuple[str, str, int], Score] = {}
    for score in tried:
        key = (score.host, score.policy, score.run)
        if key not in best or score.reward > best[key].reward:
            best[key] = score
    return tuple(best.values())


def summary(scores: Sequence[Score]) -> tuple[Row, ...]:
    """A row for each host and policy, and for each policy over all hosts if there are several.

    A policy without a score on a host has no row there.
    """
    groups: dict[str, dict[str, list[Score]]] = {}
    for score in scores:
        groups.setdefault(score.policy, {}).setdefault(score.host, []).append(score)
    hosts = list(dict.fromkeys(score.host for score in scores))
    rows = [
        _row(host, policy, [by_host[host]])
        for host in hosts
        for policy, by_host in groups.items()
        if host in by_host
    ]
    if len(hosts) > 1:
        rows += [_row(ALL_HOSTS, policy, [*by_host.values()]) for policy, by_host in groups.items()]
    return tuple(rows)


def tables(made: Comparison) -> list[Table]:
    """For each host what the policies kept, and what they proposed, the best ratio first."""
    found = []
    for host in dict.fromkeys(row.host for row in made.rows):
        found.append(_table(host, [row for row in made.rows if row.host == host]))
        proposed = [row for row in made.proposed if row.host == host]
        if proposed:
            found.append(_table(about(host, "best trial of each, kept or not"), proposed))
    return found


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = plain_table("policy", "Gb/s", "cores", "Gb/s per core", "to stock", "95 %", numbers=5)
    table.add_column("guards missed (runs)")
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for row in sorted(rows, key=lambda row: -row.ratio.mean):
        low, high = row.ratio.low, row.ratio.high
        known = low is not None and high is not None
        table.add_row(
            row.policy,
            f"{row.bandwidth:.2f}",
            f"{row.cores:.2f}",
            f"{row.per_core:.2f}",
            f"{row.ratio.mean:.2f}x",
            f"{low:.2f} to {high:.2f}" if known else "",
            ", ".join(f"{name} ({n} of {row.runs})" for name, n in row.broken.items()),
        )
    return table


def save(made: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write the comparison's data into ``folder``; the files written."""
    make(folder)
    try:
        document = folder / "comparison.json"
        document.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
        scores, tried = folder / "scores.csv", folder / "tried.csv"
        _write_csv(scores, made.scores)
        _write_csv(tried, made.tried)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}") from error
    return document, scores, tried


def make(folder: Path) -> None:
    """Make the folder of a comparison's files. Raises InputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}") from error


def _write_csv(path: Path, scores: Sequence[Score]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Score.__struct_fields__[:-1], "guards missed"])
        for score in scores:
            missed = "; ".join(guard.name for guard in score.guards if not guard.holds)
            writer.writerow([*list(msgspec.structs.asdict(score).values())[:-1], missed])


def _row(host: str, policy: str, groups: Sequence[Sequence[Score]]) -> Row:
    scores = [score for group in groups for score in group]
    return Row(
        host=host,
        policy=policy,
        runs=len(scores),
        bandwidth=sum(score.bandwidth for score in scores) / len(scores),
        cores=sum(score.cores for score in scores) / len(scores),
        per_core=sum(score.per_core for score in scores) / len(scores),
        ratio=mean_ratio([[score.ratio for score in group] for group in groups]),
        broken=_missed(scores),
    )


def _missed(scores: Sequence[Score]) -> dict[str, int]:
    margins: dict[str, list[float]] = {}
    for guard in (guard for score in scores for guard in score.guards):
        margins.setdefault(guard.name, []).append(guard.margin)
    return {
        name: sum(margin < 0.0 for margin in found)
        for name, found in margins.items()
        if sum(found) < 0.0
    }


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
