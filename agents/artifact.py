"""An agent as a folder: ``policy.safetensors`` with its weights and ``agent.json`` about it.

Nothing that is loaded can execute: weights are plain arrays, the rest is JSON of a known form.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as render

from agents.forecast import ForecastLayout
from agents.scorer import Layout
from envs.errors import AgentError
from envs.host import Record
from envs.layout import SCHEMA

WEIGHTS = "policy.safetensors"
ABOUT = "agent.json"
MAX_BYTES = 16 * 2**20
"""A file larger than this is no agent of ours."""


FORECAST = "forecast."
"""What the names of a forecast's weights begin with in an agent's file."""

Weights = dict[str, NDArray[np.float32]]


class About(Record, frozen=True):
    """What an agent says of itself.

    ``schema`` is that of the observations it was trained on (``envs.layout``), ``layout`` the
    sizes of its network, ``forecast`` those of its forecast if it has one, ``sha256`` the digest of
    its file of weights, which ``save`` fills in, ``training`` the configuration it was trained
    with, ``scores`` what it reached on the validation hosts, by name.
    """

    schema: int
    layout: Layout
    forecast: ForecastLayout | None = None
    sha256: str = ""
    training: Mapping[str, str | int | float | bool | None] = {}
    scores: Mapping[str, float] = {}


class Agent(Record, frozen=True):
    """What is known about an agent, and its weights by name; ``forecast`` may be none."""

    about: About
    weights: Weights
    forecast: Weights = msgspec.field(default_factory=dict)


def save(agent: Agent, folder: Path) -> None:
    """Write an agent's folder, made where it is missing. What was there stays until all is written.

    Raises OSError where it cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{FORECAST}{name}": value for name, value in agent.forecast.items()}
    weights = render(agent.weights | named)
    about = msgspec.structs.replace(agent.about, sha256=sha256(weights).hexdigest())
    told = msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"
    fresh = [(folder / f"{name}.new", folder / name) for name in (WEIGHTS, ABOUT)]
    for (new, _), content in zip(fresh, (weights, told), strict=True):
        new.write_bytes(content)
    for new, path in fresh:
        new.replace(path)


def load(folder: Path) -> Agent:
    """Read an agent's folder. Raises AgentError naming the file and what is wrong with it."""
    about = _about(folder / ABOUT)
    if about.schema != SCHEMA:
        raise AgentError(
            f"{folder / ABOUT}: made for schema {about.schema}, this program has {SCHEMA}:"
            " train the agent anew"
        )
    layout, forecast = about.layout, about.forecast
    expected = Layout(width=layout.width, embed=layout.embed)
    ahead = ForecastLayout(width=forecast.width) if forecast else None
    if layout != expected or forecast != ahead:
        raise AgentError(f"{folder / ABOUT}: layout differs from schema {SCHEMA}: train anew")
    data = _read(folder / WEIGHTS)
    shapes = dict(layout.shapes)
    if forecast:
        shapes |= {f"{FORECAST}{name}": shape for name, shape in forecast.shapes.items()}
    weights = _weights(folder / WEIGHTS, data, shapes)
    if not about.sha256:
        raise AgentError(
            f"{folder / ABOUT}: does not tell the digest of its weights: if you trust them, add"
            f' "sha256" with what sha256sum prints of {WEIGHTS}'
        )
    if sha256(data).hexdigest() != about.sha256:
        raise AgentError(
            f"{folder / WEIGHTS}: damaged: it is not the file whose digest {ABOUT} tells"
        )
    return Agent(
        about=about,
        weights={name: weights[name] for name in layout.shapes},
        forecast={
            name.removeprefix(FORECAST): value
            for name, value in weights.items()
            if name.startswith(FORECAST)
        },
    )


def _about(path: Path) -> About:
    try:
        return msgspec.json.decode(_read(path), type=About)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"{path}: damaged: {error}") from error


def _weights(path: Path, data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    try:
        weights = parse(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{path}: damaged: {error}") from error
    if missing := sorted(shapes.keys() ^ weights.keys()):
        raise AgentError(f"{path}: missing or unknown weights: {', '.join(missing)}")
    for name, shape in shapes.items():
        found = weights[name]
        if found.shape != shape or found.dtype != np.float32:
            raise AgentError(
                f"{path}: {name} is {found.dtype}{list(found.shape)}, not float32{list(shape)}"
            )
        if not np.isfinite(found).all():
            raise AgentError(f"{path}: {name} holds a number that is not finite")
    return weights


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # it may be a device that never ends
    except OSError as error:
        raise AgentError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise AgentError(f"{path}: larger than {MAX_BYTES} bytes: it is no agent")
    return data
