"""What a policy reaches on hosts within a number of tries."""

from collections.abc import Iterable, Iterator

import numpy as np

from agents.policy import History, Policy
from envs.host import Host, Settings
from envs.reward import Guards

SHARE = "share of the best known"
WORTHWHILE = 0.02
"""A host on which no more than this can be gained does not count for the share."""


def tune(
    policy: Policy, host: Host, tries: int, seconds: float, guards: Guards | None = None
) -> History:
    """Measure the baseline and up to ``tries`` settings of a policy on a simulated host.

    A live host is tuned by ``tuner``, which can take everything back at any moment.
    """
    history = History(
        spec=host.describe(),
        baseline=host.settings(),
        baseline_sample=host.measure(seconds),
        guards=guards or Guards(),
    )
    return go_on(policy, host, history, tries, seconds)


def go_on(policy: Policy, host: Host, history: History, tries: int, seconds: float) -> History:
    """Up to ``tries`` more settings, those of ``policy``; fewer where it proposes no more."""
    for _ in range(tries):
        settings = policy.propose(history)
        if settings is None:
            break
        history = attempt(host, history, settings, seconds)
    return history


def attempt(host: Host, history: History, settings: Settings, seconds: float) -> History:
    """One more setting, measured and judged."""
    host.apply(settings)
    return history.with_sample(settings, host.measure(seconds))


def gains(policy: Policy, hosts: Iterable[Host], tries: int, seconds: float) -> Iterator[float]:
    """The gain of the best setting on each host, 0 where none beat the baseline."""
    for host in hosts:
        best = tune(policy, host, tries, seconds).best
        yield best.verdict.gain if best else 0.0


def scores(found: Iterable[float], best: Iterable[float]) -> dict[str, float]:
    """Gains summed up: their mean and median, the share of hosts improved, and of the best known.

    ``best`` is the gain of the best setting known for each host. The share of it that was found
    is the mean over the middle half of the hosts, of those on which there is something to gain.
    """
    values = np.fromiter(found, float)
    most = np.maximum(values, np.fromiter(best, float))
    shares = np.sort(values[most > WORTHWHILE] / most[most > WORTHWHILE])
    middle = shares[len(shares) // 4 : len(shares) - len(shares) // 4]
    return {
        "mean gain": float(values.mean()),
        "median gain": float(np.median(values)),
        "share improved": float((values > 0.0).mean()),
        SHARE: float(middle.mean()) if len(middle) else 1.0,
    }
