"""Options that several verbs share, and what they mean."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from agents import registry
from agents.policy import Policy
from envs.errors import InputError
from envs.host import Host
from envs.hosts.locate import open_host
from envs.reward import Guards
from tuner import state
from tuner.given import Given
from tuner.settings import read
from tuner.state import Held
from tuner.tune import Budget
from tuner.watchdog import CONFIRM_WITHIN

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


class Seconds(click.FloatRange):
    """A length of time. Python's numbers have some that are none: click lets them through."""

    name = "seconds"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """The number, if it is finite and in the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def _only_one(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> str | None:
    """The one host of a command that takes one: the last of several would hide the others."""
    if len(given) > 1 or (given and given[0].startswith("@")):
        raise click.BadParameter('one host at a time; many: "tuner apply".', context, option)
    return given[0] if given else None


host_option = click.option(
    "--host",
    "uri",
    required=True,
    multiple=True,
    callback=_only_one,
    metavar="URI",
    help="lab:, qemu:///system, xen:, xen+ssh://user@host, sim:SCENARIO, …",
)
policy_option = click.option(
    "--policy", default="agent", show_default=True, help="A policy, or the folder of an agent."
)
setting_option = click.option(
    "--setting",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Use this setting (JSON, what it leaves out stays as found) instead of a policy.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="For what is drawn."
)
tries_option = click.option(
    "--tries", type=click.IntRange(1), default=3, show_default=True, help="Settings to try."
)
pairs_option = click.option(
    "--pairs",
    type=click.IntRange(2),
    help="Most pairs of samples of a setting. [default: live 12, sim 2]",
)
seconds_option = click.option(
    "--seconds",
    type=Seconds(0.0, min_open=True),
    help="Length of a sample. [default: live 2, sim 0.5]",
)
confirm_option = click.option(
    "--confirm-within",
    type=click.IntRange(10, 3600),
    default=CONFIRM_WITHIN,
    show_default=True,
    metavar="SECONDS",
    help="When the host is as it was by itself, should the tuner or the link die.",
)
guard_option = click.option(
    "--guard",
    "guards",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"Change one of {', '.join(Guards.__struct_fields__)}; may be repeated.",
)

_BYPASS = "viotune.bypass-filters"


def _keep(context: click.Context, _option: click.Parameter, given: bool) -> None:
    context.meta[_BYPASS] = given


bypass_option = click.option(
    "--bypass-filters",
    is_flag=True,
    expose_value=False,
    callback=_keep,
    help="Bridge modes may skip packet filters, VLAN filtering and port isolation.",
)
"""Kept with the command, for ``opened`` and ``held`` alone need it."""

SETTLE = 0.5
"""Seconds that a live host is given to get used to a setting."""
LIVE_TOLERANCE = 0.1
"""What noise may take from a live host's bandwidth before a guard counts as broken."""


def policy_of(name: str, setting: Path | None) -> Policy:
    """The policy that the options ask for. Raises InputError where they ask for two."""
    if setting is None:
        return registry.get(name)
    context = click.get_current_context()
    if context.get_parameter_source("policy") is ParameterSource.COMMANDLINE:
        raise InputError("choose one of --policy and --setting: each says what to try")
    return Given(name=str(setting), make=read(setting).over)


def kind_of(uri: str) -> str:
    """The kind of host that a URI names: what stands before its colon."""
    return uri.partition(":")[0]


def budget_of(
    kind: str, *, tries: int = 1, pairs: int | None = None, seconds: float | None = None
) -> Budget:
    """The budget that the options ask for; a simulated host has no noise and starts settled."""
    if kind == "sim":
        return Budget(tries=tries, pairs=pairs or 2, seconds=seconds or 0.5, settle=0.0)
    return Budget(tries=tries, pairs=pairs or 12, seconds=seconds or 2.0, settle=SETTLE)


def guards_of(kind: str, given: tuple[str, ...]) -> Guards:
    """The guards of a kind of host, with those changed that the options name."""
    changes = {} if kind == "sim" else {"tolerance": LIVE_TOLERANCE}
    for text in given:
        name, _, value = text.partition("=")
        if name not in Guards.__struct_fields__:
            known = ", ".join(Guards.__struct_fields__)
            raise InputError(f"no guard {name!r}: use one of {known}")
        try:
            changes[name] = float(value)
        except ValueError:
            raise InputError(f"--guard {text}: write {name}=NUMBER") from None
        if not math.isfinite(changes[name]):
            raise InputError(f"--guard {text}: write a finite number")
    try:
        return msgspec.convert(changes, Guards)
    except msgspec.ValidationError as error:
        raise InputError(f"--guard: {error}") from error


@contextmanager
def held(uri: str, confirm_within: int, *, over_a_hold: bool = False) -> Iterator[Held]:
    """The host of a URI with its lock held. See ``tuner.state.held``."""
    with (
        opened(uri) as host,
        state.held(
            host,
            confirm_within=confirm_within,
            reopen=_opening(uri),
            over_a_hold=over_a_hold,
        ) as found,
    ):
        yield found


@contextmanager
def opened(uri: str) -> Iterator[Host]:
    """The host of a URI, closed again at the end."""
    if kind_of(uri) == "sim":
        from tuner.warm import warm  # noqa: PLC0415 - loads the simulator

        warm()
    host = _opening(uri)()
    try:
        yield host
    finally:
        host.close()


def bypassed() -> bool:
    """Whether the command that runs was given ``--bypass-filters``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_BYPASS))


def _opening(uri: str) -> Callable[[], Host]:
    """What opens a host, in whatever thread."""
    return partial(open_host, uri, bypass_filters=True) if bypassed() else partial(open_host, uri)
