"""An agent's folder: what is saved is loaded, and what is wrong with one is said in a line."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from safetensors.numpy import save as render

from agents import artifact
from agents.artifact import ABOUT, WEIGHTS, About, Agent
from agents.forecast import ForecastLayout
from agents.scorer import Layout
from envs.errors import AgentError
from envs.layout import SCHEMA

LAYOUT = Layout(width=8, embed=4)
AHEAD = ForecastLayout(width=3)


def agent(seed: int = 0) -> Agent:
    rng = np.random.default_rng(seed)
    weights, forecast = (
        {name: np.asarray(rng.normal(size=shape), np.float32) for name, shape in shapes.items()}
        for shapes in (LAYOUT.shapes, AHEAD.shapes)
    )
    about = About(
        schema=SCHEMA, layout=LAYOUT, forecast=AHEAD, training={"seed": 1}, scores={"gain": 0.5}
    )
    return Agent(about=about, weights=weights, forecast=forecast)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artifact.save(agent(), tmp_path / "agent")
    return tmp_path / "agent"


def test_what_is_saved_is_loaded(folder: Path) -> None:
    loaded = artifact.load(folder)
    assert replace(loaded.about, sha256="") == agent().about
    for found, saved in ((loaded.weights, agent().weights), (loaded.forecast, agent().forecast)):
        assert found.keys() == saved.keys()
        for name, value in saved.items():
            assert np.array_equal(found[name], value)


def test_an_agent_may_have_no_forecast(folder: Path) -> None:
    bare = replace(agent(), about=replace(agent().about, forecast=None), forecast={})
    artifact.save(bare, folder)
    assert artifact.load(folder).forecast == {}


def test_what_was_there_stays_until_all_of_another_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        artifact.save(agent(seed=1), folder)
    loaded = artifact.load(folder)
    assert np.array_equal(loaded.weights["keep"], agent().weights["keep"])


def _write_weights(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        weights = agent().weights | {f"forecast.{k}": v for k, v in agent().forecast.items()}
        change(weights)
        (folder / WEIGHTS).write_bytes(render(weights))

    return act


def _write_about(**changes: object) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        about = msgspec.json.encode(replace(agent().about, **changes))
        (folder / ABOUT).write_bytes(about)

    return act


@pytest.mark.parametrize(
    ("harm", "culprit", "reason"),
    [
        (lambda f: (f / WEIGHTS).unlink(), WEIGHTS, "cannot be read"),
        (lambda f: (f / ABOUT).unlink(), ABOUT, "cannot be read"),
        (lambda f: (f / ABOUT).write_text("{"), ABOUT, "damaged"),
        (lambda f: (f / ABOUT).write_text('{"schema": 1, "x": 2}'), ABOUT, "damaged"),
        (lambda f: (f / WEIGHTS).write_bytes(b"\x80\x04junk"), WEIGHTS, "damaged"),
        (lambda f: (f / WEIGHTS).write_bytes(b""), WEIGHTS, "damaged"),
        (
            lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]),
            WEIGHTS,
            "damaged",
        ),
        (
            lambda f: (f / WEIGHTS).write_bytes(bytes(artifact.MAX_BYTES + 1)),
            WEIGHTS,
            "larger than",
        ),
        (_write_about(schema=SCHEMA + 1), ABOUT, "train"),
        (_write_about(sha256=""), ABOUT, "sha256sum"),
        (_write_about(sha256="0" * 64), WEIGHTS, "damaged"),
        (_write_weights(lambda w: w.update(agent(seed=1).weights)), WEIGHTS, "damaged"),
        (_write_about(layout=replace(LAYOUT, state=3)), ABOUT, "layout"),
        (_write_about(layout=replace(LAYOUT, width=0)), ABOUT, "damaged"),
        (_write_about(forecast=replace(AHEAD, entity=3)), ABOUT, "layout"),
        (_write_about(forecast=replace(AHEAD, width=0)), ABOUT, "damaged"),
        (_write_about(forecast=replace(AHEAD, width=9)), WEIGHTS, "not float32"),
        (_write_about(forecast=None), WEIGHTS, "missing or unknown"),
        (_write_weights(lambda w: w.pop("forecast.out.bias")), WEIGHTS, "missing or unknown"),
        (
            _write_weights(lambda w: w.update({"forecast.out.bias": np.full(3, np.inf, "f4")})),
            WEIGHTS,
            "not finite",
        ),
        (_write_about(layout=replace(LAYOUT, width=9)), WEIGHTS, "not float32"),
        (_write_weights(lambda w: w.pop("keep")), WEIGHTS, "missing or unknown"),
        (_write_weights(lambda w: w.update(more=np.zeros(1))), WEIGHTS, "missing or unknown"),
        (
            _write_weights(lambda w: w.update({"score.weight": np.full((1, 4), np.nan, "f4")})),
            WEIGHTS,
            "not finite",
        ),
        (
            _write_weights(lambda w: w.update({"score.weight": np.zeros((1, 4))})),
            WEIGHTS,
            "float64",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_that_names_the_file(
    folder: Path, harm: Callable[[Path], None], culprit: str, reason: str
) -> None:
    harm(folder)
    with pytest.raises(AgentError, match=reason) as caught:
        artifact.load(folder)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.data())
def test_a_flipped_bit_in_the_weights_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("agent")
    artifact.save(agent(), folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(AgentError, match=WEIGHTS):
        artifact.load(folder)
