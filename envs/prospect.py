"""Complete settings as arrays: what a forecast reads of each before it is tried.

    prospects = Prospects(spec, baseline)                  # once for each host
    facts = prospects.facts(history)                       # once for each proposal
    entities, wholes = prospects.rows(facts, settings)     # any number of settings at once

For K settings of a host of E backends and VCPUs, ``entities`` (K, E, ``len(ENTITY)``) tells of each
of these under every setting: what it used under the best setting so far, which cores it may run
on, who else is there and near, and what stays as it was. ``wholes`` (K, ``WHOLE``) tells of the
host, of its samples and of the rest of the setting. As in ``envs.encoding``, every number is finite
and within ``BOUND``, and nothing depends on the number of cores and guests or on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.encoding import Encoder, Facts, bounded
from envs.features import GUARDS, HOST, SAMPLE, SETTINGS, level, log2, longest, settings_row
from envs.history import History
from envs.host import HostSpec, Settings
from envs.layout import SUBJECT, TRIAL
from envs.overlap import PLACED

ENTITY = (
    "backend",
    "io vcpu",
    "cpu vcpu",
    *SUBJECT,
    # of its cores
    "one core",
    "all cores",
    "share of the cores",
    "number of cores",
    "cohesion within llc domains",
    "busiest core",
    "least busy core",
    "busy after with it",
    "use of their llc domains",
    "near the uplink",
    "on the uplink's node",
    "side-core",
    "level of its weight",
    "as at the start",
    "as at the baseline",
    "as in the last trial",
    "cores kept of the start",
    "alone on its core",
    # the mean over its cores of
    "other backends' use",
    "other io vcpus' use",
    "other cpu vcpus' use",
    "core shared with its peers",
    "physical core shared with its peers",
    "llc domain shared with its peers",
    "node shared with its peers",
    "busy at the start",
    "busy at the baseline",
)
"""What is told of a backend or VCPU under a setting."""

CHANGES = (
    "bridge as at the start",
    "tx queue as at the start",
    "side-cores as at the start",
    "polling as at the start",
    "weights as at the start",
    "bridge as in the last trial",
    "tx queue as in the last trial",
    "side-cores as in the last trial",
    "tx queue in packets of a millisecond",
)

WHOLE = (
    len(HOST)
    + len(GUARDS)
    + len(SETTINGS)  # of the baseline
    + len(SAMPLE)
    + 1  # trials so far
    + 2 * len(TRIAL)  # the best and the last
    + len(SETTINGS)
    + len(PLACED)
    + len(CHANGES)
)
"""The length of a row of ``wholes``."""

Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Known:
    """What a history tells, whatever is to be tried next; core sets are rows (E, cores)."""

    facts: Facts
    last: Settings
    start_sets: NDArray[np.float64]
    last_sets: NDArray[np.float64]


class Prospects:
    """Tells of any settings of one host."""

    def __init__(self, spec: HostSpec, baseline: Settings) -> None:
        self.spec = spec
        self.baseline = baseline
        self._encoder = Encoder(spec, baseline)
        self._overlap = self._encoder.overlap
        backends = [spec.driver_domain] * len(spec.backends)
        self._domains = [*backends, *(spec.guest_of(vcpu).name for vcpu in spec.vcpus)]
        self._found = self._sets(baseline)

    def facts(self, history: History) -> Known:
        """Work out what stays the same until the next trial."""
        last = history.trials[-1].settings if history.trials else history.baseline
        return Known(
            facts=self._encoder.facts(history),
            last=last,
            start_sets=self._sets(history.start),
            last_sets=self._sets(last),
        )

    def rows(self, known: Known, settings: Sequence[Settings]) -> tuple[Row, Row]:
        """``entities`` and ``wholes`` of some settings, at least one."""
        return self._entities(known, settings), self._wholes(known, settings)

    def _sets(self, settings: Settings) -> NDArray[np.float64]:
        return self._overlap.rows([settings.placement[name] for name in self._overlap.index])

    def _entities(self, known: Known, settings: Sequence[Settings]) -> Row:
        overlap, use = self._overlap, known.facts.use
        sets = np.stack([self._sets(one) for one in settings])  # (K, E, cores)
        inside = sets > 0.0
        size = inside.sum(2)
        loads = (overlap.roles * use) @ sets  # (K, roles, cores)
        own = use[:, None] * sets
        others = loads.sum(1)[:, None, :] - own  # what all others use of each core
        by_role = sets @ loads.transpose(0, 2, 1)
        by_role -= (sets * own).sum(2)[:, :, None] * overlap.roles.T
        peers = overlap.mean_peers @ sets
        reserved = overlap.rows([one.side_cores for one in settings]) > 0.0
        holders = inside.sum(1)[:, None, :]
        alone = (size == 1) & (np.where(inside, holders, 1) == 1).all(2)
        about = [
            size == 1,
            size == sets.shape[2],
            size / sets.shape[2],
            np.log2(np.maximum(size, 1)) / 6,
            ((sets @ overlap.llc) * sets).sum(2),
            np.where(inside, others, 0.0).max(2),
            np.where(inside, others, np.inf).min(2, initial=1e9),
            (sets * others).sum(2) + use / np.maximum(size, 1),
            ((sets @ overlap.llc) * loads.sum(1)[:, None, :]).sum(2) / overlap.llc.sum(1).mean(),
            sets @ overlap.near,
            sets @ overlap.home,
            (sets * reserved[:, None, :]).sum(2),
            self._levels(settings),
            (sets == known.start_sets).all(2),
            (sets == self._found).all(2),
            (sets == known.last_sets).all(2),
            np.minimum(sets, known.start_sets).sum(2),
            alone,
        ]
        shared = [((sets @ matrix) * peers).sum(2) for matrix in overlap.shared]
        subjects = np.array([known.facts.subjects[name] for name in overlap.index])
        same = np.concatenate([overlap.roles.T, subjects], axis=1)
        told = [
            np.broadcast_to(same, (*size.shape, same.shape[1])),
            np.stack([np.asarray(each, float) for each in about], axis=2),
            by_role,
            np.stack(shared, axis=2),
            sets @ known.facts.busy.T,
        ]
        return bounded(np.concatenate(told, axis=2)).astype(np.float32)

    def _levels(self, settings: Sequence[Settings]) -> list[list[float]]:
        """By how much the weight of each entity's domain is raised."""
        base = self.baseline
        return [
            [
                log2(level(base, one, [name]) if name in base.weight else 1.0, 3)
                for name in self._domains
            ]
            for one in settings
        ]

    def _wholes(self, known: Known, settings: Sequence[Settings]) -> Row:
        rows = [
            [
                *known.facts.state,
                *settings_row(self.spec, self.baseline, one),
                *self._overlap.place(one.placement).summary,
                *self._changes(known, one),
            ]
            for one in settings
        ]
        return bounded(np.array(rows)).astype(np.float32)

    def _changes(self, known: Known, settings: Settings) -> list[float]:
        start, last = known.facts.history.start, known.last
        same = (
            settings.bridge == start.bridge,
            settings.tx_queue == start.tx_queue,
            settings.side_cores == start.side_cores,
            settings.polling == start.polling,
            settings.weight == start.weight,
            settings.bridge == last.bridge,
            settings.tx_queue == last.tx_queue,
            settings.side_cores == last.side_cores,
        )
        return [*map(float, same), log2(longest(settings) / max(1.0, known.facts.packets), 8)]
