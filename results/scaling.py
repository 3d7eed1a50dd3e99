"""What a simulated step of 100 ms costs as the host grows, and as more hosts step together.

    .venv/bin/python results/scaling.py     # a quiet machine; writes results/scaling.md and .png

Processor time of one core, medians. One thing grows at a time: the cores of the receiving testbed
with four guests, its guests on 62 cores, and the number of generated hosts in a ``SimVectorEnv``.
Each batch is measured in a process of its own, whose memory is told; two at once are compared with
one after the other.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from matplotlib.figure import Figure

from envs.batch.vector_env import SimVectorEnv
from envs.host import Record
from tuner.plots import house_style, write

sys.path.append(str(Path(__file__).parents[1] / "tests" / "bench"))
import bench_batch
import bench_simulator

HERE = Path(__file__).parent
CORES, GUESTS = (4, 8, 16, 32, 62), (1, 2, 4, 8, 16, 32, 60)
HOSTS = (1, 4, 16, 64, 256, 1024, 4096)
ROUNDS, STEPS = 5, 2048
TWINS = 64
"""Hosts of each of the two processes."""


class Cost(Record, frozen=True):
    """Of one size: ms of a core for a host-step, events in it or KB of memory for a host."""

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
    by_hosts = [msgspec.json.decode(_apart(hosts), type=Cost) for hosts in HOSTS]
    gain = two_at_once()
    (HERE / "scaling.md").write_text(report(by_cores, by_guests, by_hosts, gain))
    write(picture(by_cores, by_guests, by_hosts), HERE / "scaling.png")


def host(cores: int, guests: int, size: int | None = None) -> Cost:
    """The testbed with so many cores and guests."""
    found = bench_simulator.bench(bench_simulator.sized(cores, guests), ROUNDS)
    return Cost(size=size or cores, milliseconds=1e3 / found["engine"], beside=found["events"])


def batch(hosts: int) -> Cost:
    """So many generated hosts, each step a choice; only some choices end in a measurement."""
    before = bench_batch.resident()
    vector = SimVectorEnv(hosts, seconds=bench_batch.SECONDS)
    taken = bench_batch.together(vector, max(8, STEPS // hosts), hosts)
    kilobytes = (bench_batch.resident() - before) / hosts / 1024
    return Cost(size=hosts, milliseconds=1e3 * taken.seconds / taken.choices, beside=kilobytes)


def two_at_once() -> float:
    """By how much two processes at once are faster than one after the other."""
    began = time.monotonic()
    _apart(TWINS)
    _apart(TWINS)
    after = time.monotonic()
    both = [subprocess.Popen(_command(TWINS), stdout=subprocess.DEVNULL) for _ in range(2)]
    for one in both:
        one.wait()
    return (after - began) / (time.monotonic() - after)


def _command(hosts: int) -> list[str]:
    return [sys.executable, __file__, str(hosts)]


def _apart(hosts: int) -> bytes:
    return subprocess.run(_command(hosts), check=True, stdout=subprocess.PIPE).stdout


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
            f"{largest.size} hosts take {mebibytes:.0f} MiB. Two processes of {TWINS} hosts",
            f"at once are {gain:.2f} times as fast as one after the other.",
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
