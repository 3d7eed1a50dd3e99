"""The fast simulator against the packet-level reference, on scenarios of the test seeds.

    python results/reference.py                 # 60 scenarios, 6 settings each; an hour on one core
    python results/reference.py --only-fast     # measures the fast one anew, keeps the reference

Writes every measurement to runs/reference/reference.json as it comes and goes on where it was
stopped; in the end a table of all pairs to results/reference.csv, and results/reference.md. What
the reference gave is kept until its code, the scenario or the setting changes; the fast simulator
is measured again every time.
"""

import argparse
import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from envs.host import Record
from envs.reference import agreement
from envs.reference.agreement import Agreement, Case, Effort, Pair, Summary
from envs.scenario import TEST_SEEDS

HERE = Path(__file__).parent
CODE = HERE.parent / "envs" / "reference"
RAW = HERE.parent / "runs" / "reference" / "reference.json"
WORST = 20


class Outcome(Record, frozen=True):
    """All that was measured, by case."""

    effort: Effort
    summary: Summary | None = None
    pairs: Mapping[str, Pair] = {}


def main() -> None:
    """Measure what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=60)
    parser.add_argument("--settings", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=Effort().seconds)
    parser.add_argument("--reference-runs", type=int, default=Effort().reference_runs)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--only-fast", action="store_true")
    options = parser.parse_args()
    effort = Effort(seconds=options.seconds, reference_runs=options.reference_runs)
    known = _read(options.raw, effort)
    todo = list(agreement.cases(TEST_SEEDS[: options.scenarios], options.settings))
    pairs: dict[str, Pair] = {}
    for at, case in enumerate(todo, 1):
        key = f"{case.key}/{_code():08x}"
        reference = known[key].reference if key in known else ()
        if not options.only_fast:
            reference = agreement.by_reference(case, effort, reference)
        if not reference:
            continue
        fast = agreement.by_fast(case, effort, reference)
        pairs[key] = Pair(seed=case.seed, number=case.number, reference=reference, fast=fast)
        if key not in known or known[key].reference != reference:
            _write(options.raw, Outcome(effort=effort, pairs={**known, **pairs}))
            print(f"{at}/{len(todo)} {_line(case, pairs[key])}", flush=True)
    found = agreement.summary(list(pairs.values()))
    _write(options.raw, Outcome(effort=effort, summary=found, pairs=pairs))
    text = _report(found, todo, pairs, effort)
    (options.out / "reference.md").write_text(text, encoding="utf-8")
    (options.out / "reference.csv").write_text(_table(todo, pairs), encoding="utf-8")
    print(text)


def _read(path: Path, effort: Effort) -> Mapping[str, Pair]:
    if not path.exists():
        return {}
    found = msgspec.json.decode(path.read_bytes(), type=Outcome)
    return found.pairs if found.effort == effort else {}


def _write(path: Path, outcome: Outcome) -> None:
    """In one step, so that a stop in the middle leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
    beside.replace(path)


def _code() -> int:
    """A checksum of the reference's sources: its measurements are its own."""
    value = 0
    for file in sorted(CODE.glob("*.py")):
        if file.name != "agreement.py":
            value = zlib.crc32(file.read_bytes(), value)
    return value


def _report(
    found: Summary, cases: Sequence[Case], pairs: Mapping[str, Pair], effort: Effort
) -> str:
    by_place = {(case.seed, case.number): case for case in cases}
    first = effort.reference_runs
    steady = agreement.summary(
        [pair for pair in pairs.values() if agreement.steady(pair.reference[:first])]
    )
    worst = sorted(pairs.values(), key=lambda p: -abs(p.error("bandwidth")))[:WORST]
    rows = "\n".join(_line(by_place[pair.seed, pair.number], pair) for pair in worst)
    return f"""# The fast simulator against the reference

`python results/reference.py`: {found.pairs} pairs of a scenario and a setting, from
{found.scenarios} scenarios of the test seeds, each measured for {effort.seconds:g} s
{effort.reference_runs} times by the reference and {effort.fast_runs} times by the fast simulator,
from different beginnings; {effort.unsteady} times as often where the reference's first measurements
are more than {agreement.STEADY:.0%} apart. Errors are of the means, relative to the reference;
*chance* is one half of the reference's measurements against the other.

| | median | 95th percentile | target | chance: median | 95th |
|---|---|---|---|---|---|
| bandwidth | {_cells(found.bandwidth)} | 5 %, 15 % | {_cells(found.chance_bandwidth)} |
| cores | {_cells(found.cores)} | 5 %, 15 % | {_cells(found.chance_cores)} |
| bandwidth, steady pairs | {_cells(steady.bandwidth)} | | {_cells(steady.chance_bandwidth)} |
| cores, steady pairs | {_cells(steady.cores)} | | {_cells(steady.chance_cores)} |

Steady are the {steady.pairs} pairs whose first measurements by the reference agree in bandwidth and
in cores. On the others a timeout of 200 ms, say, falls into a run or not.

Rank correlation of bandwidth per core over the settings of a scenario, median over scenarios:
{found.spearman:.3f} (target 0.95; the reference against itself {found.chance_spearman:.3f}).

## The pairs that are furthest apart

Seed and setting, host, error of bandwidth and of cores (and chance), Gb/s and cores of the
reference.

```
{rows}
```
"""


def _table(cases: Sequence[Case], pairs: Mapping[str, Pair]) -> str:
    """A row a pair: what it is, the means of both, and the reference's own scatter."""
    by_place = {(case.seed, case.number): case for case in cases}
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    units = [
        f"{who}_{what}" for what in ("gbps", "cores") for who in ("reference", "fast", "chance")
    ]
    write(["seed", "setting", "scheduler", "driver_domain", "offload", "host_cores", *units])
    for pair in pairs.values():
        what = by_place[pair.seed, pair.number].scenario
        kinds = [what.scheduler.kind, what.driver_domain.kind, what.offload, what.topology.cores]
        numbers = [
            number
            for key in ("bandwidth", "cores")
            for number in (*pair.means(key), pair.chance(key))
        ]
        write([pair.seed, pair.number, *kinds, *(f"{number:.4f}" for number in numbers)])
    return out.getvalue()


def _cells(found: Agreement) -> str:
    return f"{found.median:.1%} | {found.p95:.1%}"


def _line(case: Case, pair: Pair) -> str:
    what, settings = case.scenario, case.settings
    side = f"{len(settings.side_cores)}{' polling' if settings.polling else ''}"
    (gbps, _), (cores, _) = pair.means("bandwidth"), pair.means("cores")
    return (
        f"{case.seed}/{case.number} {what.scheduler.kind} {what.driver_domain.kind}"
        f"{' offload' if what.offload else ''}, {what.topology.cores} cores, side-cores {side}: "
        f"{pair.error('bandwidth'):+.1%} ({pair.chance('bandwidth'):+.1%}), "
        f"{pair.error('cores'):+.1%} ({pair.chance('cores'):+.1%}); "
        f"{gbps:.2f} Gb/s, {cores:.2f} cores"
    )


if __name__ == "__main__":
    main()
