"""Training end to end, in small: an agent comes out, and a run that was stopped goes on."""

import json
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from agents import artifact, checkpoint, config, registry
from agents.config import TrainConfig
from agents.evaluation import SHARE
from agents.run import Run, Watch
from agents.train import Stopped, main, train
from agents.workers import Workers
from envs.errors import AgentError, InputError, TunerError

TINY = TrainConfig(
    scenario="lab",
    choices=64,
    shown=2,
    search=4,
    passes=1,
    envs=2,
    members=2,
    workers=1,
    decisions=1,
    seconds=0.01,
    rollout=16,
    batch=16,
    epochs=1,
    experience=2,
    own=1,
    forecast_passes=1,
    forecast_width=8,
    width=16,
    embed=8,
    evaluate_every=32,
    evaluate_hosts=2,
    tries=1,
    checkpoint_every=32,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert train(TINY, out) == out / "agent"
    return out


def test_a_run_ends_with_an_agent_that_can_be_used(trained: Path) -> None:
    agent = artifact.load(trained / "agent")
    assert agent.about.training["choices"] == 64
    assert set(agent.about.scores) == {
        "mean gain",
        "median gain",
        SHARE,
        "share improved",
    }
    assert registry.get(str(trained / "agent")).name == str(trained / "agent")
    assert agent.about.forecast
    assert set(agent.forecast) == set(agent.about.forecast.shapes)


def test_a_run_leaves_its_configuration_scores_and_curves(trained: Path) -> None:
    assert 'scenario = "lab"' in (trained / "config.toml").read_text()
    assert {"32", "64"} <= set(json.loads((trained / "scores.json").read_text()))
    assert list((trained / "tensorboard").iterdir())
    assert len(list(trained.glob("checkpoint-*.safetensors"))) == 1


def test_the_agent_that_validated_best_is_the_one_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.5, 0.9, 0.6])
    monkeypatch.setattr("agents.run.scores", lambda *_: {SHARE: next(shares)})
    train(msgspec.structs.replace(TINY, shown=0, experience=0), tmp_path)
    assert artifact.load(tmp_path / "agent").about.scores == {SHARE: 0.9}


def test_an_agent_can_learn_further(trained: Path, tmp_path: Path) -> None:
    start = artifact.load(trained / "agent")
    settings = config.load(
        None, {"from": str(trained / "agent"), "scenario": "lab", "envs": 4, "workers": 1}
    )
    run = Run(settings, tmp_path)
    run.close()
    assert run.layout == start.about.layout
    for name, value in run.agent().weights.items():
        np.testing.assert_array_equal(value, start.weights[name])
    assert not run.agent().forecast  # that is learned last
    with pytest.raises(AgentError, match=r"no-such/agent\.json: cannot be read"):
        Run(msgspec.structs.replace(settings, from_="no-such"), tmp_path)


def test_who_learns_on_a_live_host_keeps_the_forecast_it_had(trained: Path, tmp_path: Path) -> None:
    start = artifact.load(trained / "agent")
    settings = config.load(None, {"from": str(trained / "agent"), "host": "sim:lab"})
    run = Run(settings, tmp_path)
    run.close()
    artifact.save(run.agent(), tmp_path / "agent")
    kept = artifact.load(tmp_path / "agent")
    assert kept.about.forecast == start.about.forecast
    for name, value in kept.forecast.items():
        np.testing.assert_array_equal(value, start.forecast[name])


def test_a_run_that_is_over_is_not_gone_on_with(trained: Path) -> None:
    before = (trained / "agent" / "agent.json").read_bytes()
    train(TINY, trained, resume=True)
    assert (trained / "agent" / "agent.json").read_bytes() == before


def test_progress_goes_to_stderr_a_line_an_evaluation_where_that_is_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(TINY, tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == ["32 of 64 choices"]


def test_a_folder_that_holds_a_run_is_not_overwritten(trained: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        train(TINY, trained)


def test_a_run_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(watch: Watch) -> bool:
        if watch.num_timesteps >= 40:
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "_on_step", interrupt)
        with pytest.raises(Stopped, match=r"--out .* --resume"):
            train(TINY, tmp_path)
    assert checkpoint.choices(tmp_path) == 40
    train(TINY, tmp_path, resume=True)
    assert checkpoint.choices(tmp_path) >= 64


def test_termination_saves_the_run_as_ctrl_c_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate(_watch: Watch) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(Watch, "_on_step", terminate)
    with pytest.raises(Stopped):
        train(TINY, tmp_path)
    assert (tmp_path / "checkpoint.json").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_cannot_begin_leaves_no_run_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no-such"):
        train(msgspec.structs.replace(TINY, scenario="no-such"), tmp_path)
    assert not (tmp_path / "config.toml").exists()
    with pytest.raises(InputError, match="cannot be made"):
        train(TINY, Path("/proc/no-such"))


def test_a_checkpoint_holds_weights_moments_and_random_states(trained: Path) -> None:
    runs = [Run(TINY, trained, resume=True) for _ in range(2)]
    one, other = (run.model for run in runs)
    for a, b in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert a.equal(b)
        assert one.policy.optimizer.state[a]["exp_avg"].equal(
            other.policy.optimizer.state[b]["exp_avg"]
        )
    assert one.num_timesteps == other.num_timesteps == 64
    for run in runs:
        run.close()


@pytest.mark.parametrize("name", ["checkpoint.json", "checkpoint-64.safetensors"])
def test_a_damaged_checkpoint_is_named(trained: Path, tmp_path: Path, name: str) -> None:
    for path in trained.glob("checkpoint*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(b"{")
    with pytest.raises(InputError, match=name):
        Run(TINY, tmp_path, resume=True)


def test_workers_step_as_many_hosts_as_asked_and_tell_their_masks() -> None:
    envs = Workers(TrainConfig(scenario="lab", envs=4, members=2, workers=2, seconds=0.01), seed=0)
    try:
        observation = envs.reset()
        assert observation["mask"].shape[0] == 4
        masks = np.stack(envs.env_method("action_masks"))
        assert (masks == (observation["mask"] > 0)).all()
        _, rewards, ends, infos = envs.step(np.zeros(4, int))
        assert rewards.tolist() == [0.0] * 4
        assert not ends.any()
        assert infos == [{}] * 4
    finally:
        envs.close()


@pytest.mark.parametrize("told", [True, False], ids=["with what it was told unread", "idle"])
def test_a_worker_that_dies_stops_the_run_in_one_line(told: bool) -> None:
    envs = Workers(TrainConfig(envs=4, members=2, workers=2, seconds=0.01), seed=0)
    for process in envs._processes:
        if told:
            os.kill(process.pid, signal.SIGSTOP)
    if told:
        envs.step_async(np.zeros(4, int))
    for process in envs._processes:
        process.kill()
        process.join()
    with pytest.raises(TunerError, match="died"):
        envs.step_wait()
    with pytest.raises(TunerError, match="died"):
        envs.step_async(np.zeros(4, int))
    envs.close()


def test_the_command_explains_itself_and_names_what_is_wrong(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert "--learning-rate" in shown.output
    refused = CliRunner().invoke(main, ["--out", str(tmp_path), "--choices", "-1"])
    assert refused.exit_code == InputError.exit_code


def test_a_live_host_is_trained_on_only_where_something_would_put_it_back(tmp_path: Path) -> None:
    words = ["--host", "qemu:///system", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "nothing would put it back if this is killed: use tuner train --host" in done.stderr
    assert not list(tmp_path.iterdir())
