"""What only a simulated host tells: where the time of a packet went, and how requests fared."""

from collections.abc import Mapping
from typing import Self

from rich.table import Table

from envs.host import Record, Sample
from envs.sim.host import SimHost
from envs.sim.latency import Answers
from envs.sim.sample import StageUse
from tuner.tables import plain_table


class Measured(Record, frozen=True):
    """A measurement, with what each stage of a packet's way took.

    ``answers`` is how requests fared, None where the scenario has none.
    """

    sample: Sample
    stages: Mapping[str, StageUse]
    answers: Answers | None

    @classmethod
    def of(cls, host: SimHost, seconds: float) -> Self:
        """Measure ``host`` as it is set for ``seconds``."""
        sample = host.measure(seconds)
        return cls(sample=sample, stages=host.stages, answers=host.answers)


def stage_table(rows: Mapping[str, Measured]) -> Table:
    """What each stage took under each setting: cores, and cache misses for a packet."""
    columns = [f"{what}, {name}" for what in ("cores", "misses a packet") for name in rows]
    table = plain_table("stage", *columns, numbers=len(columns))
    for stage in next(iter(rows.values())).stages:
        uses = [(row.stages[stage], row.sample) for row in rows.values()]
        cores = [use.seconds / sample.seconds for use, sample in uses]
        misses = [use.misses / max(1, _packets(sample)) for use, sample in uses]
        if any(cores):
            table.add_row(stage, *(f"{x:.3f}" for x in cores), *(f"{x:.2f}" for x in misses))
    return table


def answer_table(rows: Mapping[str, Measured]) -> Table | None:
    """Requests answered under each setting, and how long that took; None without any."""
    table = plain_table("", "answers a second", "median", "90 %", "99 %", numbers=4)
    for name, row in rows.items():
        if row.answers is not None:
            delays = (row.answers.median, row.answers.p90, row.answers.p99)
            times = (f"{1e6 * delay:.0f} us" for delay in delays)
            table.add_row(name, f"{row.answers.per_second:.0f}", *times)
    return table if table.row_count else None


def _packets(sample: Sample) -> int:
    ports = sample.vifs.values()
    return sum(port.inward.packets + port.outward.packets for port in ports)
