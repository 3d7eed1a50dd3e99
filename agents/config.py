"""How an agent is trained: one flat record, read from TOML, saved with every run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from envs import reading
from envs.errors import InputError
from envs.host import Record


class TrainConfig(Record, frozen=True):
    """The configuration of a training run.

    First an agent is shown what search finds on ``shown`` generated hosts, in ``search``
    measurements each, and copies it in so many ``passes``. Then it learns from ``choices`` of its
    own. Its hosts are generated, too, unless ``scenario`` names one or ``host`` is the URI of a
    host, which is then really set and measured; of these it is shown nothing. With ``from``, the
    folder of an agent (``agent`` is the one that ships), that one learns further, shown nothing.

    ``envs`` decisions are made side by side, ``members`` of them for the same host, simulated by
    ``workers`` processes (1: by the one that trains, best where other work keeps the cores busy).
    ``decisions`` are made on a host, ``seconds`` a measurement and ``settle`` seconds before it;
    ``care`` and ``reward_floor`` say what a bad try costs (``agents.worker``).

    ``rollout`` choices of each environment, read in ``batch`` pieces ``epochs`` times, make an
    update of proximal policy optimisation with ``learning_rate`` and ``entropy`` bonus (both fall
    over the run), discount ``gamma``, ``gae`` (lambda of the advantage) and ``clip``.
    ``width`` and ``embed`` are the sizes of the network.

    Every ``evaluate_every`` choices the agent tunes ``evaluate_hosts`` validation hosts in
    ``tries`` tries each, and the one that did best is what comes out; every ``checkpoint_every``
    choices all that is needed to go on is saved.
    """

    seed: int = 0
    from_: str | None = msgspec.field(default=None, name="from")
    shown: int = 1_600
    search: int = 80
    passes: int = 16
    choices: int = 500_000
    scenario: str | None = None
    host: str | None = None
    envs: int = 64
    members: int = 4
    workers: int = 2
    decisions: int = 3
    seconds: float = 0.1
    settle: float = 0.0
    care: float = 0.05
    reward_floor: float = -1.5
    rollout: int = 64
    batch: int = 512
    epochs: int = 4
    learning_rate: float = 4e-4
    entropy: float = 0.008
    gamma: float = 1.0
    gae: float = 1.0
    clip: float = 0.2
    width: int = 128
    embed: int = 64
    evaluate_every: int = 50_000
    evaluate_hosts: int = 100
    tries: int = 3
    checkpoint_every: int = 50_000

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises ValueError that names the key."""
        whole = ("choices", "envs", "workers", "decisions", "rollout", "batch", "epochs")
        if self.shown < 0:
            raise ValueError("shown: must not be below 0")
        sizes = (
            "search",
            "passes",
            "width",
            "embed",
            "evaluate_every",
            "evaluate_hosts",
            "tries",
            "checkpoint_every",
        )
        for key in (*whole, *sizes, "seconds", "learning_rate", "clip"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: must be above 0")
        for key in ("gamma", "gae"):
            if not 0.0 < getattr(self, key) <= 1.0:
                raise ValueError(f"{key}: must be above 0 and at most 1")
        if self.scenario and self.host:
            raise ValueError("scenario and host: give one of them, not both")
        if self.members < 2:
            raise ValueError("members: must be at least 2, as they are compared with each other")
        if self.envs % (self.members * self.workers):
            raise ValueError("envs: must be a multiple of members times workers")
        if self.host and self.envs != self.members:
            raise ValueError("envs: a host can be tuned by one group only, set it to members")


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
    if data.get("host"):
        data = {"envs": 4, "members": 4, "workers": 1} | data
    try:
        return msgspec.convert(data, TrainConfig)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from error


def render(config: TrainConfig) -> str:
    """The configuration as TOML, keys that are None left out."""
    pairs = msgspec.to_builtins(config).items()
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in pairs if value is not None)
