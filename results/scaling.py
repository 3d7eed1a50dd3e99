"""What a simulated step of 100 ms costs as the host grows, and as more hosts step together.

    .venv/bin/python results/scaling.py     # a quiet machine; writes results/scaling.md and .png

Processor time of one core. One thing grows at a time: the cores of the receiving testbed with four
guests, its guests on 62 cores (medians of several rounds), and the number of generated hosts in a
``SimVectorEnv`` (once, so many choices of each host as an episode may have). Each batch is measured
in a process of its own, whose memory is told; two at once are compared with one.
"""

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from matplotlib.figure import Figure

from envs.host import Record
from tuner.plots import house_style, write

sys.path.append(str(Path(__file__).parents[1] / "tests" / "bench"))
import bench_batch
import bench_simulator

HERE = Path(__file__).parent
CORES, GUESTS = (4, 8, 16, 32, 62), (1, 2, 4, 8, 16, 32, 60)
HOSTS = (1, 4, 16, 64, 256, 1024, 4096)
ROUNDS = 5
TWINS = 64
"""Hosts of each of the two processes."""


class Cost(Record, frozen=True):
    """Of one size: ms of a core for a host-step or a choice; events in it, or KB of a host."""

    size: int
    milliseconds: float
    beside: float


def main() -> None:
    """Measure, or with a number be one of the processes that are measured."""
    if sys.argv[1:]:
        print(msgspec.json.encode(batch(int(sys.argv[1]))).decode())
        return
    by_cores = [host(cores, 4) for cores in CORES]
    by_guests = [host(CORES[-1], guests, size=guests) for guests in GUESTS]
    by_hosts = [cost for hosts in HOSTS for cost in _apart(hosts)]
    gain = two_at_once()
    (HERE / "scaling.md").write_text(report(by_cores, by_guests, by_hosts, gain))
    write(picture(by_cores, by_guests, by_hosts), HERE / "scaling.png")


def host(cores: int, guests: int, size: int | None = None) -> Cost:
    """The testbed with so many cores and guests."""
    found = bench_simulator.bench(bench_simulator.sized(cores, guests), ROUNDS)
    return Cost(size=size or cores, milliseconds=1e3 / found["engine"], beside=found["events"])


def batch(hosts: int) -> Cost:
    """So many generated hosts, each step a choice; only some choices end in a measurement."""
    found = bench_batch.sized(hosts)
    return Cost(size=hosts, milliseconds=1e3 / found["choices/s"], beside=found["KB a host"])


def two_at_once() -> float:
    """Processor time of a choice in one process, over that where another has the other core."""
    (alone,) = _apart(TWINS)
    return alone.milliseconds / statistics.fmean(c.milliseconds for c in _apart(TWINS, TWINS))


def _apart(*sizes: int) -> Sequence[Cost]:
    """Batches of some sizes, each in a process of its own, at once."""
    commands = [[sys.executable, __file__, str(hosts)] for hosts in sizes]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    return [msgspec.json.decode(one.communicate()[0], type=Cost) for one in running]


def report(
    by_cores: Sequence[Cost], by_guests: Sequence[Cost], by_hosts: Sequence[Cost], gain: float
) -> str:
    """The tables."""
    largest = by_hosts[-1]
    mebibytes = largest.size * largest.beside / 1024
    return "\n".join(
        [
            "# What size costs",
            "",
            "`python results/scaling.py`, one core, medians.",
            "",
            *_table("cores, 4 guests", "events a step", by_cores),
            *_table(f"guests, {CORES[-1]} cores", "events a step", by_guests),
            *_table("generated hosts together: a choice", "KB a host", by_hosts),
            f"{largest.size} hosts take {mebibytes:.0f} MiB. Where two cores step {TWINS} hosts",
            f"each, one does {gain:.0%} of what one alone does.",
            "",
        ]
    )


def _table(what: str, beside: str, costs: Sequence[Cost]) -> list[str]:
    rows = [f"| {cost.size} | {cost.milliseconds:.3g} | {cost.beside:.0f} |" for cost in costs]
    return [f"| {what} | ms | {beside} |", "|---|---|---|", *rows, ""]


def picture(
    by_cores: Sequence[Cost], by_guests: Sequence[Cost], by_hosts: Sequence[Cost]
) -> Figure:
    """Cost against size, three times."""
    house_style()
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    titles = (
        ("cores", "ms a host-step", by_cores),
        ("guests", "ms a host-step", by_guests),
        ("hosts stepped together", "ms a choice", by_hosts),
    )
    for axes, (title, unit, costs) in zip(figure.subplots(1, 3), titles, strict=True):
        axes.plot([cost.size for cost in costs], [cost.milliseconds for cost in costs], "o-")
        axes.set_xscale("log", base=2)
        axes.set_xticks([cost.size for cost in costs], [str(cost.size) for cost in costs])
        axes.set_ylim(bottom=0.0)
        axes.set_title(title, loc="left")
        axes.set_ylabel(unit)
    return figure


if __name__ == "__main__":
    main()
