"""A twin's constants fitted to what its host did under a few settings.

Each group of constants that a person would measure together has one factor. The factors are those
that are most likely given what was measured and that the constants were not far off to begin with
(least squares on logarithms with a prior); how sure they are follows from how much each of them
moves what is measured, and from how much measurements scatter. One setting in ``HELD_OUT`` has no
part in the fit: that the twin tells what happens there, too, is a first sign of its being right.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.optimize import least_squares

from envs.host import HostSpec, Record, Sample, Settings
from envs.reward import bandwidth, cores_used
from envs.scenario import Scenario
from envs.sim.host import SimHost
from tuner.twin.model import Twin

GROUPS: Mapping[str, tuple[str, ...]] = {
    "backend": (
        "backend_packet",
        "backend_page",
        "backend_byte",
        "bridge_lookup",
        "bridge_hooks",
        "bridge_snoop",
        "bridge_redirect",
    ),
    "guest": ("front_packet", "front_page", "stack_packet", "ack_packet", "app_packet", "app_byte"),
    "copies": ("copy_own", "copy_llc", "copy_across", "copy_remote", "copy_memory"),
    "signals": ("notify_send", "notify_receive", "ipi", "guest_batch", "backend_batch"),
}
"""The costs that one factor multiplies."""
WAKE = "wake-up"
"""The factor of the scheduler's wake-up latency."""
FACTORS = (*GROUPS, WAKE)
PRIOR = np.log(2.0)
"""How far off constants are thought to be: by a factor of two, two times in three."""
FARTHEST = 8.0
NOISE = 0.05
"""What measurements are trusted to at best, as the twin is no exact copy."""
POOR = 0.25
"""A twin that is off by more than this does not describe its host."""
HELD_OUT = 4
SEEDS = (1, 2, 3, 4)
SECONDS = 0.2
STEP = 0.2
"""The step of the numerical derivative: large, as a simulation is not smooth."""

Row = NDArray[np.float64]


class Factor(Record, frozen=True):
    """What a group of constants was multiplied by; ``error`` is a standard error as a factor."""

    name: str
    factor: float
    error: float


class Point(Record, frozen=True):
    """A setting as measured and as the twin has it: Gb/s, and cores used for I/O."""

    setting: str
    fitted: bool
    measured: tuple[float, float]
    simulated: tuple[float, float]


class Fit(Record, frozen=True):
    """The factors, and how well the twin tells what was measured.

    ``error`` is the median relative error, over bandwidth, cores and the guests' share of these, of
    what was fitted to, ``held_out`` that of what was not, both after the fit; ``before`` that of
    all before it.
    """

    factors: tuple[Factor, ...]
    points: tuple[Point, ...]
    before: float
    error: float
    held_out: float | None

    @property
    def poor(self) -> bool:
        """Whether the twin does not describe its host."""
        return max(self.error, self.held_out or 0.0) > POOR

    @property
    def spread(self) -> tuple[float, ...]:
        """How unsure the constants are: standard deviations of logarithms, as in ``FACTORS``."""
        return tuple(float(np.log(one.error)) for one in self.factors)


def fit(
    spec: HostSpec,
    scenario: Scenario,
    settings: Mapping[str, Settings],
    samples: Mapping[str, Sequence[Sample]],
) -> tuple[Scenario, Fit]:
    """Fit ``scenario`` to the samples of each of the named settings of the host ``spec``.

    The scenario with its fitted constants, and how sure they are.
    """
    names = list(settings)
    logs = [_logs(spec, settings[name], samples[name]) for name in names]
    measured = np.array([rows.mean(0) for rows in logs])
    sigma = np.sqrt(NOISE**2 + np.array([_uncertainty(rows) for rows in logs]) ** 2)
    used = np.array([at % HELD_OUT != HELD_OUT - 1 for at in range(len(names))])

    def simulated(factors: Row) -> Row:
        return _simulated(spec, with_factors(scenario, factors), [settings[n] for n in names])

    def residuals(factors: Row) -> Row:
        off = ((simulated(factors) - measured) / sigma)[used]
        return np.concatenate([off.ravel(), np.log(factors) / PRIOR])

    found = least_squares(
        residuals,
        np.ones(len(FACTORS)),
        bounds=(1.0 / FARTHEST, FARTHEST),
        diff_step=np.full(len(FACTORS), STEP),
        max_nfev=25,
    )
    slope = np.asarray(found.jac, float) * found.x  # by the logarithm of each factor
    errors = np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    after, before = simulated(found.x), simulated(np.ones(len(FACTORS)))
    off = np.abs(np.expm1(after - measured))
    return with_factors(scenario, found.x), Fit(
        factors=tuple(
            Factor(name=name, factor=float(factor), error=float(np.exp(error)))
            for name, factor, error in zip(FACTORS, found.x, errors, strict=True)
        ),
        points=tuple(
            Point(
                setting=name,
                fitted=bool(used[at]),
                measured=_figures(measured[at]),
                simulated=_figures(after[at]),
            )
            for at, name in enumerate(names)
        ),
        before=float(np.median(np.abs(np.expm1(before - measured)))),
        error=float(np.median(off[used])),
        held_out=float(np.median(off[~used])) if not used.all() else None,
    )


def with_factors(scenario: Scenario, factors: Sequence[float] | Row) -> Scenario:
    """The scenario with each group of its constants multiplied, in the order of ``FACTORS``."""
    by_name = dict(zip(FACTORS, (float(factor) for factor in factors), strict=True))
    costs = {
        key: getattr(scenario.costs, key) * by_name[group]
        for group, keys in GROUPS.items()
        for key in keys
    }
    scheduler = scenario.scheduler
    return replace(
        scenario,
        costs=replace(scenario.costs, **costs),
        scheduler=replace(scheduler, wake_us=scheduler.wake_us * by_name[WAKE]),
    )


def _simulated(spec: HostSpec, scenario: Scenario, settings: Sequence[Settings]) -> Row:
    """Logarithms of what the twin measures under each setting, (settings, figures)."""
    twin = Twin(spec, scenario)
    hosts = [SimHost(scenario, seed) for seed in SEEDS]
    rows = []
    for one in settings:
        own = twin.settings(one)
        samples = []
        for host in hosts:
            host.apply(own)
            samples.append(host.measure(SECONDS))
        rows.append(_logs(twin.own, own, samples).mean(0))
    return np.array(rows)


def _logs(spec: HostSpec, settings: Settings, samples: Sequence[Sample]) -> Row:
    """Logarithms of bandwidth, of the cores used and of the I/O guests' of these, (samples, 3)."""
    io = [guest.name for guest in spec.guests if guest.role == "io"]
    figures = [
        (
            bandwidth(one),
            cores_used(spec, settings, one),
            sum(one.guest_cpu[name] for name in io) / one.seconds,
        )
        for one in samples
    ]
    return np.asarray(np.log(np.maximum(figures, 1e-3)))


def _uncertainty(rows: Row) -> Row:
    """The standard error of the mean of samples; 0 where there is but one to tell from."""
    if len(rows) < 2:
        return np.zeros(rows.shape[1])
    return np.asarray(rows.std(0, ddof=1) / np.sqrt(len(rows)))


def _figures(row: Row) -> tuple[float, float]:
    gbps, cores = np.exp(row[:2])
    return float(gbps), float(cores)
