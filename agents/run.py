"""One training run: PPO, its environments, its progress on the screen and in its folder."""

from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents import artifact, checkpoint
from agents.artifact import About, Agent
from agents.config import TrainConfig
from agents.evaluation import gains, scores
from agents.learned import AgentPolicy
from agents.network import Network, ScorerPolicy
from agents.scorer import Layout
from agents.worker import make_env
from agents.workers import Workers
from envs.host import Host
from envs.layout import SCHEMA
from envs.scenario import VALIDATION_SEEDS, generate, load
from envs.sim.host import SimHost

SCORES = "scores.json"


class Run:
    """Trains, evaluates and saves, as ``config`` says, in the folder ``out``."""

    def __init__(self, config: TrainConfig, out: Path, *, resume: bool = False) -> None:
        self.config = config
        self.out = out
        self.layout = Layout(width=config.width, embed=config.embed)
        self.scores: dict[int, dict[str, float]] = {}
        torch.set_num_threads(1)  # the workers have the other cores
        done = checkpoint.choices(out) if resume else 0
        self.envs = _vectorised(config, seed=config.seed + done)
        self.model = MaskablePPO(
            ScorerPolicy,
            self.envs,
            learning_rate=lambda left: config.learning_rate * max(0.05, left),
            n_steps=config.rollout,
            batch_size=min(config.batch, config.rollout * config.envs),
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae,
            clip_range=config.clip,
            ent_coef=config.entropy,
            policy_kwargs={"layout": self.layout},
            seed=config.seed,
            device="cpu",
        )
        self.network: Network = self.model.policy.mlp_extractor  # type: ignore[assignment]  # ours
        self.model.set_logger(configure(str(out / "tensorboard"), ["tensorboard"]))
        if resume:
            checkpoint.restore(self.model, out)
            if (out / SCORES).exists():
                found = (out / SCORES).read_bytes()
                self.scores = msgspec.json.decode(found, type=dict[int, dict[str, float]])

    def learn(self) -> None:
        """Train to the end of the run, evaluate once more, and save the agent."""
        left = self.config.choices - self.model.num_timesteps
        if left > 0:
            self.model.learn(left, callback=Watch(self), reset_num_timesteps=False)
        self.evaluate()
        self.save()

    def save(self) -> None:
        """Save the checkpoint and the agent as it is now."""
        checkpoint.save(self.model, self.out)
        artifact.save(self.agent(), self.out / "agent")

    def agent(self) -> Agent:
        """The agent as it is now, with its last scores."""
        network = self.network.state_dict()
        latest = self.scores[max(self.scores)] if self.scores else {}
        about = About(
            schema=SCHEMA,
            layout=self.layout,
            training=msgspec.structs.asdict(self.config),
            scores=latest,
        )
        weights = {name: value.detach().numpy().copy() for name, value in network.items()}
        return Agent(about=about, weights=weights)

    def evaluate(self) -> dict[str, float]:
        """Let the agent tune the validation hosts; keep and give its scores."""
        config = self.config
        found = gains(AgentPolicy(self.agent()), _hosts(config), config.tries, config.seconds)
        result = scores(found)
        self.scores[self.model.num_timesteps] = result
        (self.out / SCORES).write_bytes(msgspec.json.encode(self.scores) + b"\n")
        for name, value in result.items():
            self.model.logger.record(f"validation/{name}", value)
        return result

    def close(self) -> None:
        """End the processes, and leave a live host as it was found."""
        self.envs.close()


class Watch(BaseCallback):
    """Between updates: shows progress, evaluates, and saves checkpoints.

    Progress is a bar on stderr, or a line at each evaluation where that is no terminal.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.gains: list[float] = []
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def _on_training_start(self) -> None:
        start = self.model.num_timesteps
        self.bar = self.progress.add_task("", total=self.run.config.choices, completed=start)
        self.progress.start()
        self._evaluated = self._saved = start
        self._shown = ""

    def _on_step(self) -> bool:
        self.gains += [
            info["gain"]
            for info, ended in zip(self.locals["infos"], self.locals["dones"], strict=True)
            if ended
        ]
        return True

    def _on_rollout_start(self) -> None:
        config, made = self.run.config, self.model.num_timesteps
        # Exploring all along would keep an agent from settling on what it found.
        self.run.model.ent_coef = config.entropy * max(0.1, 1.0 - made / config.choices)
        if made - self._evaluated >= config.evaluate_every:
            self._evaluated = made
            self._shown = f"validation {self.run.evaluate()['mean gain']:+.3f}"
            if not self.console.is_terminal:
                self.console.print(f"{made} of {config.choices} choices: {self._shown}")
        if made - self._saved >= config.checkpoint_every:
            self._saved = made
            self.run.save()

    def _on_rollout_end(self) -> None:
        if self.gains:
            mean = float(np.mean(self.gains))
            self.logger.record("rollout/gain", mean)
            text = f"gain {mean:+.3f}  {self._shown}"
            self.progress.update(self.bar, description=text)
            self.gains.clear()
        self.logger.dump(self.model.num_timesteps)
        self.progress.update(self.bar, completed=self.model.num_timesteps)

    def _on_training_end(self) -> None:
        self.progress.stop()


def _vectorised(config: TrainConfig, seed: int) -> VecEnv:
    """The environments; one worker is this process, so that closing it puts a live host back."""
    if config.workers > 1:
        return Workers(config, seed)
    envs = DummyVecEnv([lambda: make_env(config)] * config.envs)
    envs.seed(seed)
    return envs


def _hosts(config: TrainConfig) -> list[Host]:
    """What a run validates on: hosts it never trains on, or else its one scenario."""
    if config.scenario:
        scenario = load(config.scenario)
        return [SimHost(scenario, seed=seed) for seed in range(config.evaluate_hosts)]
    seeds = VALIDATION_SEEDS[: config.evaluate_hosts]
    return [SimHost(generate(seed), seed=seed) for seed in seeds]
