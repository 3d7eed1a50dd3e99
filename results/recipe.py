"""The best fixed recipe: every recipe of ``agents.recipe`` tried on training hosts.

    python results/recipe.py [HOSTS] | tee results/recipe.txt

On each host a recipe earns the gain of its one setting, or nothing where that breaks a guard, as it
would not be kept then. The best has the highest mean of the share of the best recipe's gain on
that host, over the hosts on which any recipe gains more than 2 %.
"""

import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from rich.progress import track

from agents.evaluation import WORTHWHILE, go_on, tune
from agents.heuristics import HEURISTICS
from agents.recipe import every
from envs.scenario import TRAIN_SEEDS, generate
from envs.sim.host import SimHost

HOSTS = 300
SECONDS = 0.1
SHOWN = 10


def main() -> None:
    """Try all recipes on that many hosts, and print the best."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS
    seeds = np.random.default_rng(1).choice(len(TRAIN_SEEDS), count, replace=False)
    with ProcessPoolExecutor() as pool:
        rows = list(track(pool.map(gains, seeds.tolist()), "hosts", total=count))
    gained = np.array(rows)
    gained = gained[gained.max(1) > WORTHWHILE]
    shares = (gained / gained.max(1, keepdims=True)).mean(0)
    recipes = list(every())
    print(f"{count} training hosts, {len(gained)} on which a recipe gains 2 %")
    for index in np.argsort(-shares)[:SHOWN]:
        print(f"{shares[index]:.3f} of the best recipe's gain: {recipes[index]}")


def gains(seed: int) -> list[float]:
    """What each recipe gains on the host of that seed."""
    host = SimHost(generate(TRAIN_SEEDS[seed]), seed=seed)
    start = tune(HEURISTICS[0], host, 0, SECONDS)
    found = [go_on(recipe.policy(), host, start, 1, SECONDS) for recipe in every()]
    return [history.best.verdict.gain if history.best else 0.0 for history in found]


if __name__ == "__main__":
    main()
