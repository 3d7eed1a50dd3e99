"""The one encoder: a host, what was measured on it and a choice, as arrays for a policy.

    encoder = Encoder(spec, baseline)              # once for each host
    facts = encoder.facts(history)                 # once for each decision
    observation = encoder.encode(facts, decision)  # at every choice

An observation has three arrays (``envs.layout``). ``state`` (``STATE``,) tells what the choice is
about: its kind, the host, the samples of the baseline, of the best and of the last trial, the
setting so far, and the subject. ``candidates`` (``MAX_VALUES``, ``CANDIDATE``) has a row for each
value that is offered, zeros below. ``mask`` (``MAX_VALUES``,) is 1 where a value is offered.

Every number is finite and within ``BOUND``. Cores, guests and vifs appear only through sums,
shares and overlaps, so neither their number nor their order matters: a core that changes its
id, or a guest its place in the list, gives the same rows.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from envs.decision import Choice, Decision
from envs.features import (
    guards_row,
    host_row,
    log2,
    longest,
    packet_size,
    sample_row,
    settings_row,
    verdict_row,
)
from envs.history import History, Trial
from envs.host import BRIDGE_MODES, Guest, HostSpec, Sample, Settings
from envs.layout import BOUND, CANDIDATE, CANDIDATES, TRIAL, Observation, empty
from envs.menu import KINDS
from envs.overlap import Overlap, Placed
from envs.reward import guest_bandwidth

Row = NDArray[np.float64]

_OWN = CANDIDATES.index("no core")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a history tells that stays the same during one decision.

    ``use`` is the cores used by each entity in the sample from which the decision starts,
    ``busy`` how busy each core was then and at the baseline, ``packets`` the packets per
    millisecond towards a vif, ``subjects`` a row (``SUBJECT``) for each subject of a choice.
    """

    history: History
    state: Row
    use: Row
    busy: Row
    packets: float
    subjects: dict[str, list[float]]


class Encoder:
    """Turns the choices on one host into observations."""

    def __init__(self, spec: HostSpec, baseline: Settings) -> None:
        self.spec = spec
        self.baseline = baseline
        self.overlap = Overlap(spec)
        self._host = host_row(spec)
        self._placed: tuple[object, Placed] | None = None

    def facts(self, history: History) -> Facts:
        """Work out what stays the same until the next trial."""
        spec, found, best = self.spec, history.baseline_sample, history.best
        start = best.sample if best else found
        last = history.trials[-1] if history.trials else None
        state = [
            *self._host,
            *guards_row(history.guards),
            *settings_row(spec, self.baseline, self.baseline),
            *sample_row(spec, self.baseline, found),
            len(history.trials) / 10,
            *self._trial_row(best),
            *self._trial_row(last),
        ]
        packets = sum(port.inward.packets for port in start.vifs.values())
        busy = [self.overlap.per_core(s.core_busy) / s.seconds for s in (start, found)]
        return Facts(
            history=history,
            state=np.array(state),
            use=self._use(start),
            busy=np.array(busy),
            packets=packets / start.seconds / max(1, len(start.vifs)) / 1e3,
            subjects=self._subjects(start, found),
        )

    def encode(self, facts: Facts, decision: Decision) -> Observation:
        """The observation of the choice that is next; where none is, zeros and a single value."""
        choice, settings = decision.choice, decision.settings
        observation = empty()
        if choice is None:
            return observation
        placed = self._place(settings)
        count = len(choice.values)
        state = [
            *(float(kind == choice.kind) for kind in KINDS),
            *facts.state,
            *settings_row(self.spec, self.baseline, settings),
            *placed.summary,
            *facts.subjects[choice.subject],
        ]
        rows = np.zeros((count, CANDIDATE))
        rows[:, :_OWN] = self._own(facts, decision, choice)
        if choice.knob in ("side_cores", "placement"):
            rows[:, _OWN:] = self._core_sets(facts, choice, settings, placed)
        observation["state"][:] = bounded(np.array(state))
        observation["candidates"][:count] = bounded(rows)
        observation["mask"][:count] = 1.0
        return observation

    def _own(self, facts: Facts, decision: Decision, choice: Choice) -> Row:
        """The features of the values themselves."""
        has = partial(decision.menu.has, choice.kind, choice.subject)
        best, last = facts.history.best, facts.history.trials[-1:]
        rows = np.zeros((len(choice.values), _OWN))
        rows[0, 0] = 1.0
        rows[:, 1] = [value.baseline for value in choice.values]
        if best:
            rows[:, 2] = [has(value, best.settings) for value in choice.values]
        for trial in last:
            rows[:, 3] = [has(value, trial.settings) for value in choice.values]
        match choice.kind:
            case "side_cores":
                rows[:, 4] = [value.polling for value in choice.values]
            case "driver_weight" | "guest_weight":
                rows[:, 5] = [log2(value.number, 3) for value in choice.values]
            case "tx_queue":
                rows[:, 6:10] = [
                    self._queue(v.number, decision.settings, facts) for v in choice.values
                ]
            case "bridge":
                modes = [[v.mode == mode for mode in BRIDGE_MODES] for v in choice.values]
                rows[:, 10:_OWN] = modes
        return rows

    def _queue(self, length: int, settings: Settings, facts: Facts) -> list[float]:
        found, now = longest(self.baseline), longest(settings)
        return [
            log2(length, 15),
            log2(length / max(1, found), 8),
            log2(length / max(1, now), 8),
            log2(length / max(1.0, facts.packets), 8),
        ]

    def _core_sets(self, facts: Facts, choice: Choice, settings: Settings, placed: Placed) -> Row:
        """The features of core sets: what they hold and what they are near to."""
        overlap = self.overlap
        entity = overlap.index.get(choice.subject)
        if entity is None:  # side-cores: all I/O VCPUs are the peers
            peers, subject_use = overlap.roles[1] @ placed.sets, 0.0
            peers /= max(1.0, overlap.roles[1].sum())
            loads = (overlap.roles * facts.use) @ placed.sets
        else:
            peers, subject_use = placed.peers[entity], facts.use[entity]
            others = facts.use.copy()
            others[entity] = 0.0
            loads = (overlap.roles * others) @ placed.sets
        reserved = overlap.rows([settings.side_cores])[0] > 0
        means = [*loads, *facts.busy, overlap.near, overlap.home, *(overlap.shared @ peers)]
        rows = overlap.rows([value.cores for value in choice.values])
        inside = rows > 0
        size = inside.sum(1)
        total = loads.sum(0)
        most = np.where(inside, total, 0.0).max(1)
        least = np.where(inside, total, np.inf).min(1, initial=BOUND)
        sizes = [
            size == 0,
            size == 1,
            size == rows.shape[1],
            size / rows.shape[1],
            np.log2(np.maximum(size, 1)) / 6,
            ((rows @ overlap.llc) * rows).sum(1),
            least,
            most,
            rows @ total + subject_use / np.maximum(size, 1),
        ]
        columns = np.array([*means, reserved.astype(float)])
        return np.concatenate([np.array(sizes, float).T, rows @ columns.T], axis=1)

    def _place(self, settings: Settings) -> Placed:
        """Most choices leave the placement as it was, so the last one is remembered."""
        known = self._placed
        if known is None or known[0] is not settings.placement:
            known = (settings.placement, self.overlap.place(settings.placement))
            self._placed = known
        return known[1]

    def _trial_row(self, trial: Trial | None) -> list[float]:
        if trial is None:
            return [0.0] * len(TRIAL)
        return [
            1.0,
            *settings_row(self.spec, self.baseline, trial.settings),
            *sample_row(self.spec, trial.settings, trial.sample),
            *verdict_row(trial.verdict),
        ]

    def _use(self, sample: Sample) -> Row:
        backends = [sample.backend_cpu[backend.name] for backend in self.spec.backends]
        vcpus = [sample.guest_cpu[g.name] / len(g.vcpus) for g in self.spec.guests for _ in g.vcpus]
        return np.array([*backends, *vcpus], float) / sample.seconds

    def _subjects(self, start: Sample, found: Sample) -> dict[str, list[float]]:
        spec, use, before = self.spec, self._use(start), self._use(found)
        peers = self.overlap.peers @ use
        served = {
            b.name: [g for g in spec.guests if set(g.vifs) & set(b.vifs)] for b in spec.backends
        }
        owners = served | {v: [g] for g in spec.guests for v in g.vcpus}
        io = [guest for guest in spec.guests if guest.role == "io"]
        everyone = _traffic(spec, io, start)
        backend, vcpu, _ = self.overlap.roles
        return {
            spec.driver_domain: [backend @ use, backend @ before, vcpu @ use, *everyone],
            "": [vcpu @ use, vcpu @ before, backend @ use, *everyone],
            **{
                name: [use[i], before[i], peers[i], *_traffic(spec, owners[name], start)]
                for name, i in self.overlap.index.items()
            },
        }


def _traffic(spec: HostSpec, guests: list[Guest], sample: Sample) -> list[float]:
    """The share, packet size and numbers of some guests."""
    vifs = tuple(vif for guest in guests for vif in guest.vifs)
    total = guest_bandwidth(sample, spec.vifs) or 1.0
    ports = [sample.vifs[vif] for vif in vifs]
    return [
        guest_bandwidth(sample, vifs) / total,
        packet_size(flow for port in ports for flow in (port.inward, port.outward)),
        log2(1 + sum(len(guest.vcpus) for guest in guests), 5),
        log2(1 + len(vifs), 5),
    ]


def bounded(rows: Row) -> Row:
    """Within ``BOUND``; what is no number, too (fmin and fmax prefer the number)."""
    return np.fmax(np.fmin(rows, BOUND), -BOUND)
