"""Between a run's updates: progress on the screen, evaluations, checkpoints."""

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from stable_baselines3.common.callbacks import BaseCallback

from agents.evaluation import SHARE

if TYPE_CHECKING:
    from agents.run import Run

CONSOLE = Console(stderr=True, highlight=False)


def progress() -> Progress:
    """Bars on stderr: what is done, how far, the time left; none where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
        console=CONSOLE,
        disable=not CONSOLE.is_terminal,
    )


class Watch(BaseCallback):
    """Between updates: shows progress, evaluates, and saves checkpoints.

    Progress is a bar on stderr, or a line at each evaluation where that is no terminal.
    """

    def __init__(self, run: "Run") -> None:
        super().__init__()
        self.run = run
        self.gains: list[float] = []
        self.progress = progress()

    def _on_training_start(self) -> None:
        start = self.model.num_timesteps
        total = self.run.config.choices
        self.bar = self.progress.add_task("training", total=total, completed=start, said="")
        self.progress.start()
        self._evaluated = self._saved = start
        self._shown = ""

    def _on_step(self) -> bool:
        self.gains += [info["gain"] for info in self.locals["infos"] if "gain" in info]
        return True

    def _on_rollout_start(self) -> None:
        config, made = self.run.config, self.model.num_timesteps
        # Exploring all along would keep an agent from settling on what it found.
        self.run.model.ent_coef = config.entropy * max(0.1, 1.0 - made / config.choices)
        if made - self._evaluated >= config.evaluate_every:
            self._evaluated = made
            scores = self.run.evaluate()
            self._shown = f"validation {scores[SHARE]:.3f}" if scores else ""
            if not CONSOLE.is_terminal:
                CONSOLE.print(f"{made} of {config.choices} choices: {self._shown}")
        if made - self._saved >= config.checkpoint_every:
            self._saved = made
            self.run.save()

    def _on_rollout_end(self) -> None:
        if self.gains:
            mean = float(np.mean(self.gains))
            self.logger.record("rollout/gain", mean)
            text = f"gain {mean:+.3f}  {self._shown}"
            self.progress.update(self.bar, said=text)
            self.gains.clear()
        self.logger.dump(self.model.num_timesteps)
        self.progress.update(self.bar, completed=self.model.num_timesteps)

    def _on_training_end(self) -> None:
        self.progress.stop()
