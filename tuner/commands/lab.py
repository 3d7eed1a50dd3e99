"""``tuner lab``: a host on this machine to try things on, made of its kernel or emulated."""

from typing import get_args

import click
from click.core import ParameterSource

from envs.errors import InputError
from envs.host import Record
from envs.hosts import emulated
from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig, Workload
from envs.hosts.lab.manage import LabStatus
from tuner.commands import options
from tuner.console import Output


class EmulatedStatus(Record, frozen=True):
    """An emulated lab: its name, which is its kind, and the folder it lives in."""

    name: str
    up: bool
    state_dir: str


@click.group("lab")
def command() -> None:
    """Bring up, list or take down a lab host on this machine.

    Guests are network namespaces, their backends relays over taps, all tied to a bridge. It needs
    root, or user namespaces, and /dev/net/tun. Use it as "--host lab:" or "--host lab:NAME".

    The labs "kvm" and "xen" are whole hosts, emulated, so slow: libvirt with QEMU guests, and Xen
    with two PV guests. They need root, and Debian's packages of QEMU and libvirt.
    """


@command.command("up")
@click.argument("name", required=False)
@click.option(
    "--kind",
    type=click.Choice(["namespaces", *emulated.KINDS]),
    default="namespaces",
    show_default=True,
)
@click.option("--guests", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--neighbours", type=click.IntRange(0, 16), default=0, help="CPU-bound guests.")
@click.option(
    "--workload", type=click.Choice(get_args(Workload)), default="receive", show_default=True
)
@click.option("--tx-queue", type=click.IntRange(1, 4096), help="[default: the kernel's]")
@options.json_option
def up(
    *,
    name: str | None,
    kind: str,
    guests: int,
    neighbours: int,
    workload: Workload,
    tx_queue: int | None,
    as_json: bool,
) -> None:
    """Bring up a lab with traffic flowing.

    All options but --kind are of a lab of namespaces. An emulated lab is named as its kind; the
    first time it is built, from then on brought up in seconds.
    """
    output = Output(as_json=as_json)
    if kind in emulated.KINDS:
        _check_bare(kind, name)
        emulated.lab_of(kind).up()
        found = _emulated(kind)
        output.show(_told(found))
        output.emit(found)
        return
    if name in emulated.KINDS:
        raise InputError(f"the name {name!r} is that of an emulated lab: use --kind {name}")
    config = LabConfig(
        name="default" if name is None else name,
        guests=guests,
        neighbours=neighbours,
        workload=workload,
        tx_queue=tx_queue,
    )
    made = manage.up(config)
    output.show(_line(made))
    output.emit(made)


@command.command("down")
@click.argument("name", default="default")
@options.json_option
def down(*, name: str, as_json: bool) -> None:
    """Take a lab down, all of it."""
    output = Output(as_json=as_json)
    if name in emulated.KINDS:
        emulated.lab_of(name).find().down()
    else:
        manage.down(name)
    output.show(f"lab:{name} is down")
    output.emit({"name": name, "up": False})


@command.command("status")
@click.argument("name", required=False)
@options.json_option
def status(*, name: str | None, as_json: bool) -> None:
    """List the labs of this machine."""
    output = Output(as_json=as_json)
    kinds = [_emulated(kind) for kind in emulated.KINDS if name in (None, kind)]
    hosts = [host for host in kinds if host.up or host.name == name]
    labs = () if name in emulated.KINDS else manage.status(name)
    for line in (*map(_line, labs), *map(_told, hosts)):
        output.show(line)
    if not labs and not hosts:
        output.show("no lab is up: run: tuner lab up")
    output.emit([*labs, *hosts])


def _check_bare(kind: str, name: str | None) -> None:
    """Raise InputError where something is asked of an emulated lab that it does not have."""
    context = click.get_current_context()
    for option in ("guests", "neighbours", "workload", "tx_queue"):
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT:
            word = option.replace("_", "-")
            raise InputError(f"--{word} is for a lab of namespaces, not for --kind {kind}")
    if name not in (None, kind):
        raise InputError(f"the one lab of --kind {kind} is named {kind}, not {name!r}")


def _emulated(kind: str) -> EmulatedStatus:
    found = emulated.lab_of(kind).find()
    return EmulatedStatus(name=kind, up=found.is_up, state_dir=str(found.folder))


def _told(lab: EmulatedStatus) -> str:
    state = "up: emulated, 2 guests, one sends to the other" if lab.up else "down"
    return f"lab:{lab.name} is {state}"


def _line(lab: LabStatus) -> str:
    if (config := lab.config) is None:
        return lab.damaged
    what = f"{config.guests} guests, {config.neighbours} neighbours, workload {config.workload}"
    if not lab.up:
        ended = ", ".join(lab.missing) or "it was never ready"
        return f"lab:{lab.name} is broken ({ended}): run: tuner lab down {lab.name}"
    weights = f"; no weights: {lab.why_no_weights}" if lab.why_no_weights else ""
    return f"lab:{lab.name} is up: {what}{weights}"
