"""``tuner doctor``: what is found on a host, what can be set there, what stands in the way."""

import os

import click

from envs.errors import HostError, Unprivileged
from envs.host import HostSpec, Knob, Settings
from tuner.commands import options
from tuner.console import Output
from tuner.doctor import Diagnosis, diagnose, without
from tuner.settings import core_list
from tuner.tables import host_table, plain_table


@click.command("doctor")
@options.host_option
@options.bypass_option
@options.json_option
def command(*, uri: str, as_json: bool) -> int:
    """Say what is found on a host, what can be set there, and why the rest cannot.

    Nothing is changed. The exit code is 5 where privileges are missing to look at all.
    """
    output = Output(as_json=as_json)
    try:
        with options.opened(uri) as host:
            diagnosis = diagnose(uri, host)
    except HostError as error:
        if not isinstance(error, Unprivileged) and not _needs_root(uri):
            raise
        diagnosis = without(uri, error)
    show(output, diagnosis)
    output.emit(diagnosis)
    return Unprivileged.exit_code if diagnosis.trouble else 0


def _needs_root(uri: str) -> bool:
    """Whether a host of this machine could not be read because only root may."""
    return os.geteuid() != 0 and options.kind_of(uri) in ("kvm", "qemu", "xen")


def show(output: Output, diagnosis: Diagnosis) -> None:
    """The diagnosis for people."""
    if diagnosis.trouble:
        output.show(diagnosis.trouble)
    if diagnosis.spec is not None and diagnosis.settings is not None:
        output.heading(f"{diagnosis.host} as the agent sees it")
        output.show(_summary(diagnosis.spec, diagnosis.versions), "")
        output.show(host_table(diagnosis.spec, diagnosis.settings))
        output.heading("knobs")
        table = plain_table("knob", "now", "can be set", "why not, or not more")
        for found in diagnosis.knobs:
            now = _now(found.knob, diagnosis.settings)
            table.add_row(found.knob, now, found.within or "no", found.why_not)
        output.show(table)
    output.heading("what would fight the tuner")
    for rival in diagnosis.rivals:
        output.show(f"{rival.name} {rival.does}: {rival.remedy}")
    if not diagnosis.rivals:
        output.show("nothing that is known")
    output.heading("what is missing")
    for missing in diagnosis.missing:
        output.show(missing)
    for line in diagnosis.sudoers:
        output.show(f"this line in sudoers would do: {line}")
        output.show("give it only to who may be root: what it names can run, or be, anything")
    if not diagnosis.missing:
        output.show("nothing")


def _now(knob: Knob, settings: Settings) -> str:
    """What a knob is set to, where the table of domains does not tell."""
    if knob == "bridge":
        return settings.bridge
    if knob == "side_cores":
        return core_list(settings.side_cores) if settings.side_cores else "none"
    return "above"


def _summary(spec: HostSpec, versions: tuple[str, ...]) -> str:
    llcs, nodes = ({getattr(core, key) for core in spec.cores} for key in ("llc", "node"))
    rate = f" at {spec.uplink.gbps:g} Gb/s" if spec.uplink.gbps else ""
    parts = (
        *versions,
        f"cores {len(spec.cores)}, LLC domains {len(llcs)}, nodes {len(nodes)}",
        f"uplink {spec.uplink.name}{rate}" if spec.uplink.name else "no uplink",
    )
    return "; ".join(parts)
