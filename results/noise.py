"""Recorded noise of a lab, and a tuning that measures it instead of a host.

A trial is the ``tuner.tune.tune`` of ``tuner apply`` itself, only that its samples come from the
recording, one after the other from a place of its own. The settings tried are the host as found
with TX queues longer by a packet or two; all traffic measured under them is multiplied by the gain
that they are said to have, and all traffic by what the load is said to do meanwhile.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from agents.policy import History
from envs.host import HostSpec, Port, Record, Sample, Settings, Traffic
from envs.reward import Guards
from tuner.commands.options import LIVE_TOLERANCE
from tuner.journal import Event
from tuner.judge import Judgement
from tuner.tune import Budget, tune

FILE = Path(__file__).parent / "noise.json.gz"
TRIALS = 1000

Load = Callable[[int], float]
"""What the load is multiplied by at each sample of a trial."""


class Recording(Record, frozen=True):
    """A lab as found, and samples of it of ``seconds`` each, one after the other."""

    spec: HostSpec
    found: Settings
    seconds: float
    samples: tuple[Sample, ...]

    def stretches(self, budget: Budget) -> int:
        """How many of the longest trials find a place without sharing a sample."""
        return len(self.samples) // budget.measurements


class Trial(Record, frozen=True):
    """How a trial ended: its judgements, and how many samples it took.

    ``risen`` is what became of the load from the first sample of the setting that is kept to the
    last of the trial, as a factor; None where nothing is kept.
    """

    judgements: tuple[Judgement, ...]
    samples: int
    risen: float | None


class Longer:
    """Proposes TX queues that are longer by a packet, then by two, and so on."""

    name = "longer"

    def propose(self, history: History) -> Settings:
        """The next length."""
        return longer(history.baseline, 1 + len(history.trials))


class Replay:
    """Stands for a transaction: its samples are those of a recording, from ``start`` on."""

    def __init__(self, recording: Recording, start: int, gain: float, load: Load) -> None:
        self.spec, self.found = recording.spec, recording.found
        self.journal, self.taken = self, 0
        self.begun = [1]  # where each try begins: after the baseline, then where the last one ended
        self._samples, self._gain, self._load = recording.samples[start:], gain, load
        self._now = recording.found

    def append(self, _event: Event) -> None:
        """Keep no journal, but note that a try has been judged."""
        self.begun.append(self.taken)

    def apply(self, settings: Settings, _reason: str = "") -> None:
        """Only remember what is set."""
        self._now = settings

    def measure(self, _seconds: float) -> Sample:
        """The next sample, under the load that is due, and with the gain if something is set."""
        sample, load = self._samples[self.taken], self._load(self.taken)
        self.taken += 1
        return _times(sample, load * (1.0 if self._now == self.found else 1.0 + self._gain))

    def risen(self, number: int) -> float:
        """What became of the load since a try began."""
        return self._load(self.taken - 1) / self._load(self.begun[number])


def recorded() -> Recording:
    """What was recorded."""
    return msgspec.json.decode(gzip.decompress(FILE.read_bytes()), type=Recording)


def budget_of(recording: Recording, pairs: int, tries: int = 1) -> Budget:
    """What a trial may measure; the recording was never changed, so nothing has to settle."""
    return Budget(tries=tries, pairs=pairs, seconds=recording.seconds, settle=0.0)


def steady(_sample: int) -> float:
    """A load that is what it was when it was recorded."""
    return 1.0


def ramp(rise: float, samples: int) -> Load:
    """A load that goes to ``rise`` times what it was within so many samples, and stays there."""
    return lambda sample: 1.0 + (rise - 1.0) * min(1.0, sample / samples)


def trials(
    recording: Recording, gain: float, budget: Budget, load: Load = steady, count: int = TRIALS
) -> list[Trial]:
    """Many trials of settings with a known gain, begun at places spread over the recording.

    The last begins where the longest trial still finds its samples.
    """
    last = len(recording.samples) - budget.measurements
    guards = Guards(tolerance=LIVE_TOLERANCE)
    found = []
    for number in range(count):
        replay = Replay(recording, number * last // (count - 1), gain, load)
        # A replay has of a transaction what a tuning asks of it.
        tuning = tune(replay, Longer(), budget, guards, lambda _what: None)  # type: ignore[arg-type]
        found.append(
            Trial(
                judgements=tuple(tried.judgement for tried in tuning.trials),
                samples=replay.taken,
                risen=None if tuning.kept is None else replay.risen(tuning.kept),
            )
        )
    return found


def longer(found: Settings, packets: int) -> Settings:
    """A setting that makes no difference."""
    return replace(found, tx_queue={vif: each + packets for vif, each in found.tx_queue.items()})


def _times(sample: Sample, factor: float) -> Sample:
    def more(flow: Traffic) -> Traffic:
        return replace(flow, bytes=round(flow.bytes * factor), packets=round(flow.packets * factor))

    def port(one: Port) -> Port:
        return Port(inward=more(one.inward), outward=more(one.outward))

    vifs = {vif: port(one) for vif, one in sample.vifs.items()}
    return replace(sample, vifs=vifs, uplink=port(sample.uplink))
