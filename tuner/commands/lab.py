"""``tuner lab``: a paravirtual host made of this machine's kernel, to try things on."""

from typing import get_args

import click

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig, Workload
from envs.hosts.lab.manage import LabStatus
from tuner.commands import options
from tuner.console import Output

name_argument = click.argument("name", default="default")


@click.group("lab")
def command() -> None:
    """Bring up, list or take down a lab host on this machine.

    Guests are network namespaces, their backends relays over taps, all tied to a bridge. It needs
    root, or user namespaces, and /dev/net/tun. Use it as "--host lab:" or "--host lab:NAME".
    """


@command.command("up")
@name_argument
@click.option("--guests", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--neighbours", type=click.IntRange(0, 16), default=0, help="CPU-bound guests.")
@click.option(
    "--workload", type=click.Choice(get_args(Workload)), default="receive", show_default=True
)
@click.option("--tx-queue", type=click.IntRange(1, 4096), help="[default: the kernel's]")
@options.json_option
def up(
    *,
    name: str,
    guests: int,
    neighbours: int,
    workload: Workload,
    tx_queue: int | None,
    as_json: bool,
) -> None:
    """Bring up a lab with traffic flowing."""
    output = Output(as_json=as_json)
    config = LabConfig(
        name=name, guests=guests, neighbours=neighbours, workload=workload, tx_queue=tx_queue
    )
    made = manage.up(config)
    output.show(_line(made))
    output.emit(made)


@command.command("down")
@name_argument
@options.json_option
def down(*, name: str, as_json: bool) -> None:
    """Take a lab down, all of it."""
    output = Output(as_json=as_json)
    manage.down(name)
    output.show(f"lab:{name} is down")
    output.emit({"name": name, "up": False})


@command.command("status")
@click.argument("name", required=False)
@options.json_option
def status(*, name: str | None, as_json: bool) -> None:
    """List the labs of this machine."""
    output = Output(as_json=as_json)
    labs = manage.status(name)
    for lab in labs:
        output.show(_line(lab))
    if not labs:
        output.show("no lab is up: run: tuner lab up")
    output.emit(labs)


def _line(lab: LabStatus) -> str:
    config = lab.config
    what = f"{config.guests} guests, {config.neighbours} neighbours, workload {config.workload}"
    if not lab.up:
        ended = ", ".join(lab.missing) or "it was never ready"
        return f"lab:{lab.name} is broken ({ended}): run: tuner lab down {lab.name}"
    weights = f"; no weights: {lab.why_no_weights}" if lab.why_no_weights else ""
    return f"lab:{lab.name} is up: {what}{weights}"
