"""Averages of ratios with their uncertainty, as rliable computes them.

Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS
2021: the interquartile mean over all runs, with a bootstrap that resamples the runs of each task
separately. Ratios are averaged as logarithms, so that twice and half cancel out.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean

from tuner.judge import CONFIDENCE, Interval

RESAMPLES = 2000


def mean_ratio(groups: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """Interquartile mean of ratios, and its bootstrap interval.

    ``groups`` holds the ratios of each host. There is no interval unless every host has two.
    """
    found = _interval([np.log(np.asarray(group, dtype=float)) for group in groups], seed)
    if found.low is None or found.high is None:
        return Interval(mean=math.exp(found.mean), low=None, high=None)
    return Interval(mean=math.exp(found.mean), low=math.exp(found.low), high=math.exp(found.high))


def interquartile_mean(scores: Sequence[float], seed: int = 0) -> Interval:
    """Interquartile mean of scores, one for each host, and its bootstrap interval over hosts."""
    return _interval([np.asarray(scores, dtype=float)], seed)


def _interval(groups: Sequence[NDArray[np.float64]], seed: int) -> Interval:
    mean = float(_interquartile_mean(*groups))
    if any(len(group) < 2 for group in groups):
        return Interval(mean=mean, low=None, high=None)
    found = bootstrap(
        groups,
        _interquartile_mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",  # the others divide by zero where all runs agree
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean=mean, low=float(found.low), high=float(found.high))


def _interquartile_mean(*groups: Any, axis: int = -1) -> Any:  # noqa: ANN401 - arrays of any shape
    return trim_mean(np.concatenate(groups, axis=axis), 0.25, axis=axis)
