"""Options that several verbs share, and what they mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from agents import registry
from agents.policy import Policy
from envs.errors import InputError
from envs.history import History
from envs.host import Host, Settings
from envs.hosts.locate import open_host
from envs.reward import Guards
from tuner.settings import PartialSettings, read
from tuner.tune import Budget

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
host_option = click.option("--host", "uri", required=True, metavar="URI", help="sim:… or lab:")
policy_option = click.option(
    "--policy", default="agent", show_default=True, help="A policy, or the folder of an agent."
)
setting_option = click.option(
    "--setting",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Use this setting (JSON, what it leaves out stays as found) instead of a policy.",
)
seed_option = click.option("--seed", default=0, show_default=True, help="For what is drawn.")
tries_option = click.option(
    "--tries", type=click.IntRange(1), default=3, show_default=True, help="Settings to try."
)
pairs_option = click.option(
    "--pairs", type=click.IntRange(2), help="Samples of each setting. [default: lab 4, sim 2]"
)
seconds_option = click.option(
    "--seconds",
    type=click.FloatRange(0.0, min_open=True),
    help="Length of a sample. [default: lab 2, sim 0.5]",
)
guard_option = click.option(
    "--guard",
    "guards",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a guard: " + ", ".join(Guards.__struct_fields__) + ". May be repeated.",
)

SETTLE = 0.5
"""Seconds that a live host is given to get used to a setting."""


class GivenSetting:
    """A policy that proposes the one setting that a person gave."""

    def __init__(self, name: str, setting: PartialSettings) -> None:
        self.name = name
        self._setting = setting

    def propose(self, history: History) -> Settings | None:
        """The setting, once."""
        return None if history.trials else self._setting.over(history.baseline)


def policy_of(name: str, setting: Path | None) -> Policy:
    """The policy that the options ask for."""
    if setting is None:
        return registry.get(name)
    return GivenSetting(str(setting), read(setting))


def budget_of(
    kind: str, *, tries: int = 1, pairs: int | None = None, seconds: float | None = None
) -> Budget:
    """The budget that the options ask for; a simulated host has no noise and starts settled."""
    if kind == "sim":
        return Budget(tries=tries, pairs=pairs or 2, seconds=seconds or 0.5, settle=0.0)
    return Budget(tries=tries, pairs=pairs or 4, seconds=seconds or 2.0, settle=SETTLE)


def guards_of(given: tuple[str, ...]) -> Guards:
    """The guards with those changed that the options name."""
    changes: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in Guards.__struct_fields__:
            known = ", ".join(Guards.__struct_fields__)
            raise InputError(f"no guard {name!r}: use one of {known}")
        try:
            changes[name] = float(value)
        except ValueError:
            raise InputError(f"--guard {text}: write {name}=NUMBER") from None
    return msgspec.structs.replace(Guards(), **changes)


@contextmanager
def opened(uri: str) -> Iterator[Host]:
    """The host of a URI, closed again at the end."""
    host = open_host(uri)
    try:
        yield host
    finally:
        host.close()
