"""What a policy reaches on hosts within a number of tries."""

from collections.abc import Iterable, Iterator

import numpy as np

from agents.policy import History, Policy, Trial
from envs.host import Host
from envs.reward import Guards, judge


def tune(
    policy: Policy, host: Host, tries: int, seconds: float, guards: Guards | None = None
) -> History:
    """Measure the baseline and up to ``tries`` settings of a policy on a simulated host.

    A live host is tuned by ``tuner``, which can take everything back at any moment.
    """
    rules = guards or Guards()
    history = History(
        spec=host.describe(),
        baseline=host.settings(),
        baseline_sample=host.measure(seconds),
        guards=rules,
    )
    for _ in range(tries):
        settings = policy.propose(history)
        if settings is None:
            break
        host.apply(settings)
        sample = host.measure(seconds)
        verdict = judge(
            history.spec, settings, sample, history.baseline, history.baseline_sample, rules
        )
        history = history.with_trial(Trial(settings=settings, sample=sample, verdict=verdict))
    return history


def gains(policy: Policy, hosts: Iterable[Host], tries: int, seconds: float) -> Iterator[float]:
    """The gain of the best setting on each host, 0 where none beat the baseline."""
    for host in hosts:
        best = tune(policy, host, tries, seconds).best
        yield best.verdict.gain if best else 0.0


def scores(found: Iterable[float]) -> dict[str, float]:
    """Gains summed up: mean, median, interquartile mean, and the share of hosts improved."""
    values = np.sort(np.fromiter(found, float))
    middle = values[len(values) // 4 : len(values) - len(values) // 4]
    return {
        "mean gain": float(values.mean()),
        "median gain": float(np.median(values)),
        "interquartile mean gain": float(middle.mean()),
        "share improved": float((values > 0.0).mean()),
    }
