"""One training run: PPO, its environments, its progress on the screen and in its folder."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.progress import Progress, TaskID
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import configure

from agents import artifact, checkpoint, experience, registry
from agents.artifact import About, Agent
from agents.config import TrainConfig
from agents.demonstrations import Demonstration, collect
from agents.evaluation import SHARE, gains, scores
from agents.experience import Examples
from agents.forecast import ForecastLayout
from agents.forecast_training import ForecastNetwork, fit
from agents.imitation import imitate
from agents.learned import AgentPolicy
from agents.network import Network, ScorerPolicy
from agents.scorer import Layout
from agents.teacher import search
from agents.telemetry import ToldHost
from agents.watch import Watch, progress
from agents.workers import Workers
from envs.host import Host
from envs.layout import SCHEMA
from envs.scenario import TRAIN_SEEDS, VALIDATION_SEEDS, generate, load

SCORES = "scores.json"


class Run:
    """Trains, evaluates and saves, as ``config`` says, in the folder ``out``."""

    def __init__(self, config: TrainConfig, out: Path, *, resume: bool = False) -> None:
        self.config = config
        self.out = out
        start = registry.trained(config.from_) if config.from_ else None
        self.layout = (
            start.about.layout if start else Layout(width=config.width, embed=config.embed)
        )
        self.start = start
        self.scores: dict[int, dict[str, float]] = {}
        torch.set_num_threads(1)  # the workers have the other cores
        if config.scenario:
            load(config.scenario)  # one that cannot be used is refused before anything is begun
        done = checkpoint.choices(out) if resume else 0
        self.envs = Workers(config, seed=config.seed + done)
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
        if start:
            weights = {name: torch.from_numpy(value) for name, value in start.weights.items()}
            self.network.load_state_dict(weights)
        self.model.set_logger(configure(str(out / "tensorboard"), ["tensorboard"]))
        if resume:
            checkpoint.restore(self.model, out)
            if (out / SCORES).exists():
                found = (out / SCORES).read_bytes()
                self.scores = msgspec.json.decode(found, type=dict[int, dict[str, float]])

    def learn(self) -> None:
        """Train to the end of the run; the agent that validated best stays in its folder."""
        if self.config.experience and self._has_forecast():
            return  # that comes last
        if self.config.shown and not self.model.num_timesteps:
            self._imitate()
        if not self.scores:
            self.evaluate()  # who learns further may not learn better
        left = self.config.choices - self.model.num_timesteps
        if left > 0:
            self.model.learn(left, callback=Watch(self), reset_num_timesteps=False)
        self.evaluate()
        self.save()
        if self.config.experience:
            self._learn_to_forecast()

    def save(self) -> None:
        """Save the checkpoint, and the agent as it is now where none has been validated yet."""
        checkpoint.save(self.model, self.out)
        if not self.scores:
            artifact.save(self.agent(), self.out / "agent")

    def agent(self) -> Agent:
        """The agent as it is now, with its last scores.

        Where nothing is learned of forecasts, it has the one of the agent that it began as.
        """
        kept = self.start if not self.config.experience else None
        latest = self.scores[max(self.scores)] if self.scores else {}
        about = About(
            schema=SCHEMA,
            layout=self.layout,
            forecast=kept.about.forecast if kept else None,
            training=msgspec.to_builtins(self.config),
            scores=latest,
        )
        forecast = kept.forecast if kept else {}
        return Agent(about=about, weights=_arrays(self.network), forecast=forecast)

    def evaluate(self) -> dict[str, float]:
        """Let the agent tune the validation hosts, give its scores, and save it if none was better.

        Of a live host there is nothing to validate on: the agent is saved as it is.
        """
        config = self.config
        if config.host:
            artifact.save(self.agent(), self.out / "agent")
            return {}
        result = self._validate(self.agent())
        self.scores[self.model.num_timesteps] = result
        (self.out / SCORES).write_bytes(msgspec.json.encode(self.scores) + b"\n")
        for name, value in result.items():
            self.model.logger.record(f"validation/{name}", value)
        if result[SHARE] >= max(past[SHARE] for past in self.scores.values()):
            artifact.save(self.agent(), self.out / "agent")
        return result

    def _imitate(self) -> None:
        """Show the network what search finds on some of the training hosts."""
        config, shown = self.config, list[Demonstration]()
        rng = np.random.default_rng(config.seed)
        seeds = rng.choice(len(TRAIN_SEEDS), config.shown, replace=False)
        hosts = [TRAIN_SEEDS[int(seed)] for seed in seeds]
        found = collect(hosts, config.search, config.seconds, config.decisions, config.workers)
        with progress() as bar:
            searching = bar.add_task("searching hosts", total=config.shown, said="")
            for some in found:
                shown += some
                bar.advance(searching)
            copying = bar.add_task("learning from it", total=1.0, said="")
            imitate(
                self.network,
                shown,
                config.passes,
                config.seed,
                partial(_update, bar, copying),
            )

    def _learn_to_forecast(self) -> None:
        """Give the agent that did best a forecast, from what others try and then from its own.

        Interrupted, it begins anew when the run is gone on with. The scores that the agent tells
        are then those that it reaches with its forecast; ``scores.json`` has those before.
        """
        config = self.config
        agent = artifact.load(self.out / "agent")
        layout = ForecastLayout(width=config.forecast_width)
        rng = np.random.default_rng((config.seed, 1))
        count = config.experience + config.own
        drawn = rng.choice(len(TRAIN_SEEDS), count, replace=False)
        seeds = [TRAIN_SEEDS[int(seed)] for seed in drawn]
        seen: list[Examples] = []
        with progress() as bar:
            for said, hosts in (
                ("trying settings", seeds[: config.experience]),
                ("trying its own", seeds[config.experience :]),
            ):
                if not hosts:
                    continue
                task = bar.add_task(said, total=len(hosts), said="")
                for examples in self._experience(hosts, agent):
                    seen.append(examples)
                    bar.advance(task)
                task = bar.add_task("learning to forecast", total=1.0, said="")
                torch.manual_seed(config.seed)
                network = ForecastNetwork(layout)
                tick = partial(_update, bar, task)
                fit(network, experience.join(seen), config.forecast_passes, config.seed, tick)
                about = msgspec.structs.replace(agent.about, forecast=layout)
                agent = Agent(about=about, weights=agent.weights, forecast=_arrays(network))
        about = msgspec.structs.replace(agent.about, scores=self._validate(agent))
        artifact.save(msgspec.structs.replace(agent, about=about), self.out / "agent")

    def _has_forecast(self) -> bool:
        folder = self.out / "agent"
        return folder.exists() and bool(artifact.load(folder).forecast)

    def _experience(self, hosts: Sequence[int], agent: Agent) -> Iterator[Examples]:
        config = self.config
        scenario = load(config.scenario) if config.scenario else None
        by = agent if agent.forecast else None
        return experience.collect(hosts, config.seconds, config.workers, scenario, by)

    def _validate(self, agent: Agent) -> dict[str, float]:
        """What an agent reaches on the validation hosts."""
        config = self.config
        found = gains(AgentPolicy(agent), _hosts(config), config.tries, config.seconds)
        return scores(found, self.best_known)

    @cached_property
    def best_known(self) -> list[float]:
        """The gain that search finds on each validation host."""
        config = self.config
        found = (search(host, config.search, config.seconds, 0) for host in _hosts(config))
        return [history.best.verdict.gain if history.best else 0.0 for history in found]

    def close(self) -> None:
        """End the processes, and leave a live host as it was found."""
        self.envs.close()


def _update(bar: Progress, task: TaskID, done: float) -> None:
    bar.update(task, completed=done)


def _arrays(network: torch.nn.Module) -> artifact.Weights:
    """A network's weights, as an agent has them."""
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def _hosts(config: TrainConfig) -> list[Host]:
    """What a run validates on, exactly: hosts it never trains on, or else its one scenario."""
    seeds = VALIDATION_SEEDS[: config.evaluate_hosts]
    if config.scenario:
        scenario = load(config.scenario)
        return [ToldHost(scenario, seed, noisy=False) for seed in seeds]
    return [ToldHost(generate(seed), seed, noisy=False) for seed in seeds]
