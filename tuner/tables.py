"""Tables for a terminal: settings, samples and verdicts side by side.

They are for a console without markup (see ``tuner.console``): names are printed as they are.
"""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from envs.host import HostSpec, Sample, Settings
from envs.reward import Verdict, bandwidth, cores_used, drop_share, guest_bandwidth
from tuner.judge import ratio
from tuner.settings import Difference, core_list
from tuner.tune import Tried


def diff_table(
    rows: Sequence[Difference], before: str = "as found", after: str = "changed to"
) -> Table:
    """What a setting changes, part by part."""
    table = plain_table("knob", "of", before, after)
    for row in rows:
        table.add_row(row.knob, row.subject, row.before, Text(row.after, style="bold"))
    return table


def host_table(spec: HostSpec, settings: Settings) -> Table:
    """The host and its knobs as they are."""
    table = plain_table("domain", "role", "weight", "cores", "vifs (TX queue)")
    driver = ", ".join(
        f"{backend.name} on {core_list(settings.placement[backend.name])}"
        for backend in spec.backends
    )
    weight = settings.weight.get(spec.driver_domain, "")
    table.add_row(spec.driver_domain, "driver", str(weight), driver, "")
    for guest in spec.guests:
        places = dict.fromkeys(core_list(settings.placement[vcpu]) for vcpu in guest.vcpus)
        vifs = ", ".join(f"{vif} ({settings.tx_queue.get(vif, '')})" for vif in guest.vifs)
        table.add_row(
            guest.name,
            "I/O" if guest.role == "io" else "CPU-bound",
            str(settings.weight.get(guest.name, "")),
            f"{len(guest.vcpus)} VCPU on " + " / ".join(places),
            vifs,
        )
    return table


def sample_table(spec: HostSpec, settings: Settings, sample: Sample) -> Table:
    """One sample: the totals, then each guest and backend."""
    table = plain_table("", "Gb/s", "cores", "Gb/s per core", "drops", numbers=4)
    total, used = bandwidth(sample), cores_used(spec, settings, sample)
    table.add_row(
        "host",
        f"{total:.2f}",
        f"{used:.2f}",
        f"{total / used:.2f}" if used else "",
        f"{drop_share(sample):.2%}",
        style="bold",
    )
    for guest in spec.guests:
        gbps = f"{guest_bandwidth(sample, guest.vifs):.2f}" if guest.vifs else ""
        cores = sample.guest_cpu[guest.name] / sample.seconds
        dropped = sum(sample.vifs[vif].inward.drops for vif in guest.vifs)
        table.add_row(guest.name, gbps, f"{cores:.2f}", "", str(dropped) if guest.vifs else "")
    for name, seconds in sample.backend_cpu.items():
        table.add_row(name, "", f"{seconds / sample.seconds:.2f}", "", "")
    return table


def verdict_table(rows: Sequence[tuple[str, Verdict]]) -> Table:
    """Bandwidth, cores, their ratio and the guards of several verdicts."""
    table = plain_table("", "Gb/s", "cores", "Gb/s per core", "guards", numbers=3)
    for name, verdict in rows:
        table.add_row(
            name,
            f"{verdict.bandwidth:.2f}",
            f"{verdict.cores:.2f}",
            f"{verdict.per_core:.2f}",
            ", ".join(verdict.broken) or "hold",
        )
    return table


def trial_table(trials: Sequence[Tried]) -> Table:
    """Each setting tried: measured as found → changed, in turn, and the outcome."""
    table = plain_table(
        "try", "Gb/s", "cores", "Gb/s per core", "to as found", "outcome", numbers=4
    )
    for number, tried in enumerate(trials, 1):
        judgement = tried.judgement
        before, after = judgement.before, judgement.after
        table.add_row(
            str(number),
            f"{before.bandwidth:.2f} → {after.bandwidth:.2f}",
            f"{before.cores:.2f} → {after.cores:.2f}",
            f"{before.per_core:.2f} → {after.per_core:.2f}",
            ratio(judgement.gain),
            judgement.outcome,
        )
    return table


def plain_table(*columns: str, numbers: int = 0) -> Table:
    """A table whose columns 1 to ``numbers`` hold numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if 0 < index <= numbers else "left")
    return table
