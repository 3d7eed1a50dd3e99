"""``tuner train``: ``agents.train`` as a verb, with its options and ``--json``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from agents import artifact, config
from agents.config import TrainConfig
from agents.train import main as training
from agents.train import train
from envs.errors import InputError
from envs.host import Record
from tuner.commands import options
from tuner.console import Output
from tuner.transaction import lent
from tuner.watchdog import CONFIRM_WITHIN


class Trained(Record, frozen=True):
    """The folder of a trained agent, and its scores on hosts it was not trained on."""

    agent: str
    scores: dict[str, float]


def run(out: str, config_path: str | None, resume: bool, as_json: bool, **keys: Any) -> None:  # noqa: ANN401 - a key of the configuration each
    """Train, and say where the agent is and what it scored."""
    output = Output(as_json=as_json)
    path = Path(out) / "config.toml" if resume else Path(config_path) if config_path else None
    settings = config.load(path, None if resume else keys)
    try:
        with _host_lent(settings):
            folder = train(settings, Path(out), resume=resume)
    except ImportError as error:
        raise InputError(
            f"training needs {error.name}: pip install '.[train]' where viotune's sources are"
        ) from error
    trained = Trained(agent=str(folder), scores=dict(artifact.load(folder).about.scores))
    output.show(f"The agent is {folder}; use it with: --policy {folder}")
    for name, value in trained.scores.items():
        output.show(f"  {name}  {value:.3f}")
    output.emit(trained)


@contextmanager
def _host_lent(settings: TrainConfig) -> Iterator[None]:
    """The host that is trained on, if it is a live one, is locked and put back whatever happens."""
    if settings.host is None:
        yield
        return
    with options.held(settings.host, CONFIRM_WITHIN) as held, lent(held, "train"):
        yield


command = click.Command(
    "train",
    callback=run,
    params=[
        *training.params,
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON document on stdout."),
    ],
    help="Train an agent on generated hosts, on one scenario, or on a host.",
)
