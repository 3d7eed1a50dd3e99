"""Both papers' techniques on their testbeds, blind: what the mechanisms give, beside the abstracts.

    python results/papers.py

No constant was fitted to what the papers report: results/papers.md names the commit since which
none of them has changed. It tells, for each testbed and technique, bandwidth, application
throughput, cores per gigabit, and cycles and cache misses per packet by stage, then how much the
outcome of Liao's four techniques together depends on each constant.
"""

import csv
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import asdict, replace

from agents.evaluation import tune
from agents.heuristics import HEURISTICS, Heuristic
from envs.host import Record, Settings
from envs.reward import bandwidth, cores_used
from envs.scenario import Costs, Scenario, Stock, load
from envs.sim.host import SimHost
from envs.sim.sample import STAGES

HERE = Path(__file__).parent
CONSTANTS = (
    "-L/tick_ms: float/,/switch_us: float/:envs/scenario/costs.py",
    "-L/nic_packet: float/,/neighbour_mbps: float/:envs/scenario/costs.py",
)
SCENARIOS = ("--", "envs/scenarios/xen-2008-*", "envs/scenarios/lee-2013-*")
TESTBEDS = (
    "xen-2008-receive",
    "xen-2008-transmit",
    "xen-2008-mixed",
    "lee-2013-inter",
    "lee-2013-intra",
)
SENSITIVE = "xen-2008-mixed"
SEEDS, SECONDS, TRIES = range(5), 0.5, 3
PACKET = 1500
"""Bytes of what is called a packet here, whatever segmentation offload makes of it."""
NATIVE = "native"
REPORTED = {"bandwidth": 0.96, "cores per gigabit": -0.36}
"""Liao's four techniques against stock, by the abstract."""


class Row(Record, frozen=True):
    """One technique on one testbed, means over seeds; stages in ``STAGES``' order, a packet."""

    testbed: str
    technique: str
    gbps: float
    application_gbps: float
    cores: float
    cycles: tuple[float, ...]
    misses: tuple[float, ...]

    @property
    def per_gigabit(self) -> float:
        """Cores per Gb/s."""
        return self.cores / self.gbps


def main() -> None:
    """Measure all, and write the table and the report."""
    rows = [row for name in TESTBEDS for row in testbed(load(name))]
    swings = list(sensitivity(load(SENSITIVE)))
    _write_table(rows)
    text = _report(rows, swings)
    (HERE / "papers.md").write_text(text, encoding="utf-8")
    print(text)


def testbed(scenario: Scenario) -> Iterator[Row]:
    """Every heuristic on a testbed, and the same machine without a hypervisor."""
    for heuristic in HEURISTICS:
        yield measured(scenario, heuristic.name, heuristic)
    yield measured(native(scenario), NATIVE, HEURISTICS[0])


def native(scenario: Scenario) -> Scenario:
    """The same machine and load without what virtualization adds: a driver, a stack, a copy.

    No bridge, grants, rings to fill, events between domains, nor a second copy; what took them
    hands packets over for nothing. Interrupts, stack and application are as they were.
    """
    none = dict.fromkeys(
        (
            *("bridge_lookup", "bridge_hooks", "bridge_snoop", "bridge_redirect"),
            *("backend_packet", "backend_page", "backend_byte", "backend_batch"),
            *("front_packet", "front_page", "notify_send", "notify_receive"),
        ),
        0.0,
    )
    return replace(
        scenario,
        costs=Costs(**{**asdict(scenario.costs), **none}),
        driver_domain=replace(scenario.driver_domain, flips=True),
        stock=Stock(weight=scenario.stock.weight, tx_queue=1000),
    )


def measured(scenario: Scenario, name: str, heuristic: Heuristic) -> Row:
    """What a heuristic settles on, over all seeds."""
    found = [_once(scenario, name, heuristic, seed) for seed in SEEDS]
    means = {
        key: statistics.fmean(getattr(row, key) for row in found)
        for key in ("gbps", "application_gbps", "cores")
    }
    by_stage = {
        key: tuple(map(statistics.fmean, zip(*(getattr(row, key) for row in found), strict=True)))
        for key in ("cycles", "misses")
    }
    return Row(testbed=scenario.name, technique=name, **means, **by_stage)


def _once(scenario: Scenario, name: str, heuristic: Heuristic, seed: int) -> Row:
    host = SimHost(scenario, seed)
    host.apply(settled(host, heuristic))
    sample = host.measure(SECONDS)
    settings, spec = host.settings(), host.describe()
    packets = host.delivered / PACKET
    uses = [host.stages[stage] for stage in STAGES]
    return Row(
        testbed=scenario.name,
        technique=name,
        gbps=bandwidth(sample),
        application_gbps=8e-9 * host.delivered / SECONDS,
        cores=cores_used(spec, settings, sample),
        cycles=tuple(1e9 * scenario.topology.ghz * use.seconds / packets for use in uses),
        misses=tuple(use.misses / packets for use in uses),
    )


def settled(host: SimHost, heuristic: Heuristic) -> Settings:
    """What a heuristic arrives at in a few tries: of those, the one with the highest bandwidth."""
    history = tune(heuristic, host, TRIES, SECONDS)
    best = max(history.trials, key=lambda trial: trial.verdict.bandwidth, default=None)
    return best.settings if best else history.baseline


class Swing(Record, frozen=True):
    """What halving and doubling a constant does to the two ratios of ``REPORTED``, in its order."""

    constant: str
    halved: tuple[float, float]
    doubled: tuple[float, float]


def sensitivity(scenario: Scenario) -> Iterator[Swing]:
    """Each constant in turn, those first that matter most."""
    costs = [key for key in scenario.costs.__struct_fields__ if key != "jitter"]
    swings = [
        Swing(
            constant=key,
            halved=ratios(_scaled(scenario, part, key, 0.5)),
            doubled=ratios(_scaled(scenario, part, key, 2.0)),
        )
        for part, keys in {"costs": costs, "scheduler": ["wake_us", "switch_us"]}.items()
        for key in keys
        if getattr(getattr(scenario, part), key)
    ]
    yield from sorted(swings, key=lambda s: -abs(s.doubled[0] - s.halved[0]))


def _scaled(scenario: Scenario, part: str, key: str, by: float) -> Scenario:
    """A scenario with one constant of its costs or its scheduler multiplied."""
    record = getattr(scenario, part)
    return replace(scenario, **{part: replace(record, **{key: by * getattr(record, key)})})


def ratios(scenario: Scenario) -> tuple[float, float]:
    """What Liao's four techniques together change: bandwidth, and cores per gigabit."""
    by_name = {heuristic.name: heuristic for heuristic in HEURISTICS}
    before = measured(scenario, "stock", by_name["stock"])
    after = measured(scenario, "liao-all", by_name["liao-all"])
    return after.gbps / before.gbps - 1.0, after.per_gigabit / before.per_gigabit - 1.0


def _write_table(rows: Iterable[Row]) -> None:
    with (HERE / "papers.csv").open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n").writerow
        units = [f"{what} {stage}" for what in ("cycles", "misses") for stage in STAGES]
        write(["testbed", "technique", "gbps", "application_gbps", "cores", *units])
        for row in rows:
            numbers = [row.gbps, row.application_gbps, row.cores, *row.cycles, *row.misses]
            write([row.testbed, row.technique, *(f"{number:.4g}" for number in numbers)])


def _report(rows: Sequence[Row], swings: Sequence[Swing]) -> str:
    beds = "\n".join(_bed(name, [row for row in rows if row.testbed == name]) for name in TESTBEDS)
    lines = "\n".join(
        f"| {s.constant} | {_signed(s.halved)} | {_signed(s.doubled)} |" for s in swings
    )
    reported = _signed(tuple(REPORTED.values()))
    middle = _signed(ratios(load(SENSITIVE)))
    return f"""# Both papers' techniques, blind

`python results/papers.py`, means of {len(SEEDS)} loads of {SECONDS:g} s. No constant has been
fitted to the papers: the costs and scheduler constants in `envs/scenario/costs.py` are unchanged
since commit {_commit(*CONSTANTS)}, the testbeds since {_commit(*SCENARIOS)}.
A technique may try {TRIES} settings and is shown with the one of most bandwidth. The abstract of
Liao et al. reports for their four techniques together, against stock: bandwidth and cores per
gigabit {reported}. That of Lee & Strazdins has no figures. `native` is the same machine and load
without what virtualization adds. A packet is {PACKET} bytes of data; a core polling for work that
does not come is in no stage.

{beds}
## How much depends on which constant

Bandwidth and cores per gigabit under `liao-all` against stock on `{SENSITIVE}`, where they are
{middle}, with one constant halved or doubled; those that matter most first.

| constant | halved | doubled |
|---|---|---|
{lines}
"""


def _bed(name: str, rows: Sequence[Row]) -> str:
    stock = rows[0]
    table = "\n".join(
        f"| {r.technique} | {r.gbps:.2f} | {r.application_gbps:.2f} | {r.cores:.2f} "
        f"| {_signed((r.gbps / stock.gbps - 1, r.per_gigabit / stock.per_gigabit - 1), ' | ')} "
        f"| {sum(r.cycles):.0f} | {sum(r.misses):.1f} |"
        for r in rows
    )
    by_stage = "\n".join(
        f"| {r.technique} | " + " | ".join(map(_stage, r.cycles, r.misses)) + " |" for r in rows
    )
    head = " | ".join(STAGES)
    return f"""## {name}

| technique | Gb/s | application | cores | bandwidth | cores per Gb/s | cycles | misses a packet |
|---|---|---|---|---|---|---|---|
{table}

Cycles and cache misses a packet by stage:

| technique | {head} |
|---|{"---|" * len(STAGES)}
{by_stage}
"""


def _stage(cycles: float, misses: float) -> str:
    return f"{cycles:.0f} / {misses:.1f}"


def _signed(numbers: Sequence[float], between: str = ", ") -> str:
    return between.join(f"{number:+.0%}" for number in numbers)


def _commit(*where: str) -> str:
    """The last commit that changed ``where``, as ``git log`` takes it, and its day."""
    command = ["git", "log", "-1", "-s", "--format=%h of %cs", *where]
    return subprocess.run(
        command, cwd=HERE.parent, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
