"""An agent as a folder: ``policy.safetensors`` with its weights and ``agent.json`` about it.

Nothing that is loaded can execute: weights are plain arrays, the rest is JSON of a known form.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as render

from agents.scorer import Layout
from envs.errors import AgentError
from envs.host import Record
from envs.layout import SCHEMA

WEIGHTS = "policy.safetensors"
ABOUT = "agent.json"
MAX_BYTES = 16 * 2**20
"""A file larger than this is no agent of ours."""


class About(Record, frozen=True):
    """What an agent says of itself.

    ``schema`` is that of the observations it was trained on (``envs.layout``), ``layout`` the
    sizes of its network, ``training`` the configuration it was trained with, ``scores`` what it
    reached on the validation hosts, by name.
    """

    schema: int
    layout: Layout
    training: Mapping[str, str | int | float | bool | None] = {}
    scores: Mapping[str, float] = {}


class Agent(Record, frozen=True):
    """What is known about an agent, and its weights by name."""

    about: About
    weights: dict[str, NDArray[np.float32]]


def save(agent: Agent, folder: Path) -> None:
    """Write an agent's folder, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(render(agent.weights))
    about = msgspec.json.format(msgspec.json.encode(agent.about), indent=2)
    (folder / ABOUT).write_bytes(about + b"\n")


def load(folder: Path) -> Agent:
    """Read an agent's folder. Raises AgentError naming the file and what is wrong with it."""
    about = _about(folder / ABOUT)
    if about.schema != SCHEMA:
        raise AgentError(
            f"{folder / ABOUT}: made for schema {about.schema}, this program has {SCHEMA}:"
            " train the agent anew"
        )
    expected = Layout(width=about.layout.width, embed=about.layout.embed)
    if about.layout != expected:
        raise AgentError(f"{folder / ABOUT}: layout differs from schema {SCHEMA}: train anew")
    return Agent(about=about, weights=_weights(folder / WEIGHTS, about.layout))


def _about(path: Path) -> About:
    try:
        return msgspec.json.decode(_read(path), type=About)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"{path}: damaged: {error}") from error


def _weights(path: Path, layout: Layout) -> dict[str, NDArray[np.float32]]:
    try:
        weights = parse(_read(path))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{path}: damaged: {error}") from error
    if missing := sorted(layout.shapes.keys() ^ weights.keys()):
        raise AgentError(f"{path}: missing or unknown weights: {', '.join(missing)}")
    for name, shape in layout.shapes.items():
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
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AgentError(f"{path}: {size} bytes are too many for an agent")
        return path.read_bytes()
    except OSError as error:
        raise AgentError(f"{path}: cannot be read: {error.strerror}") from error
