"""How an agent is trained: one flat record, read from TOML, saved with every run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from envs import reading
from envs.errors import InputError
from envs.host import Record


def _help(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class TrainConfig(Record, frozen=True):
    """The configuration of a training run.

    First an agent is shown what search finds on generated hosts, and copies it; then it learns from
    choices of its own, on generated hosts unless ``scenario`` or ``host`` names one; who trains for
    these, or further ``from`` an agent, is shown nothing. Last it learns to forecast what settings
    are worth, first from what others try on hosts, then from what it tries by itself. Who trains
    for a live ``host`` keeps the forecast that it began with, if it had one. Each key says what it
    is for (``tuner train --help``).
    """

    seed: Annotated[int, _help("of everything that is drawn")] = 0
    from_: Annotated[
        str | None, _help("folder of an agent that learns further; agent: the one that ships")
    ] = msgspec.field(default=None, name="from")
    shown: Annotated[
        int, _help("generated hosts on which the agent is shown what search finds")
    ] = 1_600
    search: Annotated[int, _help("measurements of that search on each host")] = 80
    passes: Annotated[int, _help("times that the agent goes through what it is shown")] = 16
    choices: Annotated[int, _help("choices that it then makes to learn from")] = 200_000
    scenario: Annotated[
        str | None, _help("train on this scenario, a name or a file, instead of generated hosts")
    ] = None
    host: Annotated[
        str | None, _help("train on this host, a URI, which is really set and measured")
    ] = None
    envs: Annotated[int, _help("decisions made side by side")] = 64
    members: Annotated[int, _help("of these, decisions for the same host, which are compared")] = 4
    workers: Annotated[int, _help("processes that simulate")] = 2
    decisions: Annotated[int, _help("settings tried on a host before the next one comes")] = 3
    seconds: Annotated[float, _help("length of a measurement")] = 0.1
    settle: Annotated[
        float, _help("seconds before it in which the host gets used to a setting")
    ] = 0.0
    care: Annotated[float, _help("share of its bad reward that a bad try costs")] = 0.05
    reward_floor: Annotated[float, _help("the worst that counts of it")] = -1.5
    rollout: Annotated[int, _help("choices of each environment between updates")] = 64
    batch: Annotated[int, _help("choices in a step of an update")] = 512
    epochs: Annotated[int, _help("times that an update goes through its choices")] = 4
    learning_rate: Annotated[float, _help("at the start; it falls over the run")] = 4e-4
    entropy: Annotated[
        float, _help("bonus for trying out, at the start; it falls over the run")
    ] = 0.008
    gamma: Annotated[float, _help("discount")] = 1.0
    gae: Annotated[float, _help("lambda of the advantage")] = 1.0
    clip: Annotated[float, _help("of proximal policy optimisation")] = 0.2
    experience: Annotated[
        int,
        _help("hosts on which others try settings, to learn to forecast their worth; 0: do not"),
    ] = 4_000
    own: Annotated[int, _help("hosts on which it then tries settings by itself")] = 1_500
    forecast_passes: Annotated[int, _help("times that it goes through what it has seen there")] = 6
    forecast_width: Annotated[int, _help("of the forecast's layers")] = 64
    width: Annotated[int, _help("of the network's layers that read the state")] = 128
    embed: Annotated[int, _help("of those that read a candidate")] = 64
    evaluate_every: Annotated[
        int, _help("choices between validations; the agent that did best comes out")
    ] = 50_000
    evaluate_hosts: Annotated[int, _help("hosts to validate on")] = 100
    tries: Annotated[int, _help("settings tried on each of them")] = 3
    checkpoint_every: Annotated[int, _help("choices between checkpoints")] = 50_000

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises ValueError that names the key."""
        self._check_numbers()
        if self.scenario and self.host:
            raise ValueError("scenario and host: give one of them, not both")
        if self.members < 2:
            raise ValueError("members: must be at least 2, as they are compared with each other")
        if self.envs % (self.members * self.workers):
            raise ValueError("envs: must be a multiple of members times workers")
        if self.host and self.experience:
            raise ValueError("experience: a live host's settings cannot be forecast, set it to 0")
        if self.host and self.envs != self.members:
            raise ValueError("envs: a host can be tuned by one group only, set it to members")

    def _check_numbers(self) -> None:
        for key in _MAY_BE_NONE:
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: must not be below 0")
        for key in _ABOVE_NONE:
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: must be above 0")
        for key in ("gamma", "gae"):
            if not 0.0 < getattr(self, key) <= 1.0:
                raise ValueError(f"{key}: must be above 0 and at most 1")


_MAY_BE_NONE = ("shown", "experience", "own")
_ABOVE_NONE = (
    *("choices", "envs", "workers", "decisions", "rollout", "batch", "epochs"),
    *("search", "passes", "width", "embed", "forecast_passes", "forecast_width"),
    *("evaluate_every", "evaluate_hosts", "tries", "checkpoint_every"),
    *("seconds", "learning_rate", "clip"),
)


def load(path: Path | None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration in a TOML file (or the defaults), with some keys overridden.

    Raises InputError naming the file and the key that is unknown or wrong.
    """
    data: dict[str, Any] = {}
    where = "training configuration"
    if path is not None:
        where = str(path)
        data = reading.toml(reading.text(path), where)
    data |= {key: value for key, value in (overrides or {}).items() if value is not None}
    if any(data.get(key) for key in ("host", "scenario", "from")):
        data = {"shown": 0} | data
    if data.get("scenario"):
        data = {"experience": 200, "own": 100} | data
    if data.get("host"):
        data = {"envs": 4, "members": 4, "workers": 1, "experience": 0} | data
    try:
        return msgspec.convert(data, TrainConfig)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from error


def render(config: TrainConfig) -> str:
    """The configuration as TOML, keys that are None left out."""
    pairs = msgspec.to_builtins(config).items()
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in pairs if value is not None)
