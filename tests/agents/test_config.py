"""The configuration of a training run: defaults, a file, overrides, and what is refused."""

from pathlib import Path

import pytest

from agents import config
from agents.config import TrainConfig
from envs.errors import InputError


def test_a_file_overrides_the_defaults_and_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("choices = 1000\nenvs = 4\n")
    loaded = config.load(path, {"envs": 32, "scenario": None})
    assert loaded == TrainConfig(choices=1000, envs=32)


def test_what_is_rendered_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    settings = TrainConfig(scenario="lab", from_="agent", shown=0, learning_rate=1e-5)
    path.write_text(config.render(settings))
    assert config.load(path) == settings


def test_a_host_of_ones_own_is_tuned_by_one_group() -> None:
    loaded = config.load(None, {"host": "lab:"})
    assert (loaded.envs, loaded.workers) == (loaded.members, 1)


@pytest.mark.parametrize("own", [{"host": "lab:"}, {"scenario": "lab"}, {"from": "agent"}])
def test_who_trains_for_a_host_of_ones_own_or_further_is_shown_no_others(
    own: dict[str, str],
) -> None:
    assert config.load(None, own).shown == 0
    assert config.load(None, {**own, "shown": 5}).shown == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("choises = 5", "choises"),
        ("choices = 'many'", "choices"),
        ("choices = 0", "choices: must be above 0"),
        ("gamma = 1.5", "gamma"),
        ("envs = 20\nworkers = 2", "multiple of members times workers"),
        ("members = 1", "members: must be at least 2"),
        ("scenario = 'lab'\nhost = 'lab:'", "not both"),
        ("host = 'lab:'\nenvs = 8", "one group"),
        ("own = -1", "own: must not be below 0"),
        ("forecast_width = 0", "forecast_width: must be above 0"),
        ("host = 'lab:'\nexperience = 5", "experience: a live host's"),
        ("choices =", "not TOML"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_key(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "train.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        config.load(path)
    assert "train.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.toml"):
        config.load(tmp_path / "none.toml")
