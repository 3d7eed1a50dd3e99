"""How often a tuning keeps what is no better, and finds what is: on recorded noise of a lab.

    sudo .venv/bin/python results/honesty.py record     # a lab as found, sample after sample
    .venv/bin/python results/honesty.py | tee results/honesty.txt
    sudo .venv/bin/python results/honesty.py live 40    # so many on a lab itself, in honesty-live

A trial is the measuring of ``tuner apply`` itself (``tuner.tune.measure_pairs``), only that the
samples come from the recording, one after the other from a place of its own. The setting tried is
the host as found, with all traffic multiplied by the gain it is said to have. Live, it is the host
as found but for TX queues longer by one packet in 1000, really set in one transaction each; a run
that was cut off goes on where it ended.
"""

import gzip
import sys
from collections import Counter
from pathlib import Path

import msgspec
from msgspec.structs import replace
from scipy.stats import binomtest

from envs.host import HostSpec, Port, Record, Sample, Settings, Traffic
from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.reward import Guards
from tuner import state
from tuner.commands.options import LIVE_TOLERANCE, SETTLE
from tuner.judge import Judgement
from tuner.sequential import ERROR_RATE
from tuner.transaction import transaction
from tuner.tune import Budget, measure_pairs

NAME = "honesty"
FILE = Path(__file__).parent / "noise.json.gz"
LIVE = FILE.with_name("honesty-live.jsonl")
SAMPLES, SECONDS = 400, 0.5
TRIALS = 200


class Recording(Record, frozen=True):
    """A lab as found, and samples of it of ``seconds`` each, one after the other."""

    spec: HostSpec
    found: Settings
    seconds: float
    samples: tuple[Sample, ...]


class Replay:
    """Stands for a transaction: its samples are those of a recording, from ``start`` on."""

    def __init__(self, recording: Recording, start: int, gain: float) -> None:
        self.spec, self.found = recording.spec, recording.found
        self._samples, self._next, self._gain = recording.samples, start, gain
        self._now = recording.found

    def apply(self, settings: Settings, _reason: str = "") -> None:
        """Only remember what is set."""
        self._now = settings

    def measure(self, _seconds: float) -> Sample:
        """The next sample, with the gain if something is set."""
        sample = self._samples[self._next % len(self._samples)]
        self._next += 1
        return sample if self._now == self.found else _gained(sample, self._gain)


def main() -> None:
    """Record, or judge what was recorded."""
    if sys.argv[1:] == ["record"]:
        FILE.write_bytes(gzip.compress(msgspec.json.encode(record())))
        return
    if sys.argv[1:2] == ["live"]:
        live(int(sys.argv[2]))
        return
    recording = recorded()
    print(f"{len(recording.samples)} samples of {recording.seconds} s of a lab as found\n")
    for pairs in (12, 40):
        for gain in (0.0, 0.05, 0.1, 0.2, 0.4):
            _report(gain, pairs, trials(recording, gain, pairs))


def recorded() -> Recording:
    """What was recorded."""
    return msgspec.json.decode(gzip.decompress(FILE.read_bytes()), type=Recording)


def record() -> Recording:
    """Samples of a lab that nobody touches."""
    manage.up(LabConfig(name=NAME, workload="intra"))
    try:
        host = LabHost.open(NAME)
        samples = tuple(host.measure(SECONDS) for _ in range(SAMPLES))
        return Recording(
            spec=host.describe(), found=host.settings(), seconds=SECONDS, samples=samples
        )
    finally:
        manage.down(NAME)


def live(count: int) -> None:
    """Judge the same setting against itself on a lab, until there are so many judgements."""
    done = LIVE.read_text().splitlines() if LIVE.exists() else []
    manage.up(LabConfig(name=NAME, workload="intra"))
    try:
        for _ in range(len(done), count):
            judgement = live_trial(LabHost.open(NAME))
            with LIVE.open("a") as file:
                file.write(msgspec.json.encode(judgement).decode() + "\n")
            print(judgement.outcome, judgement.pairs, judgement.reason, flush=True)
    finally:
        manage.down(NAME)
    judged = [msgspec.json.decode(line, type=Judgement) for line in LIVE.read_text().splitlines()]
    print()
    _report(0.0, 12, judged)


def live_trial(host: LabHost) -> Judgement:
    """One transaction with a setting that makes no difference."""
    budget = Budget(tries=1, pairs=12, seconds=0.5, settle=0.1)
    guards = Guards(tolerance=LIVE_TOLERANCE)
    with state.held(host) as held, transaction(held, "honesty") as trial:
        longer = {vif: length + 1 for vif, length in trial.found.tx_queue.items()}
        same = replace(trial.found, tx_queue=longer)
        return measure_pairs(trial, same, budget, guards, lambda _what: None, "")[0]


def trials(recording: Recording, gain: float, pairs: int, count: int = TRIALS) -> list[Judgement]:
    """Many trials of a setting with a known gain, begun at places spread over the recording."""
    budget = Budget(tries=1, pairs=pairs, seconds=recording.seconds, settle=0.0)
    guards = Guards(tolerance=LIVE_TOLERANCE)
    tried = replace(recording.found, bridge="lean")  # anything but as found: it is only a label
    found = []
    for number in range(count):
        replay = Replay(recording, number * len(recording.samples) // count, gain)
        found.append(measure_pairs(replay, tried, budget, guards, lambda _what: None, "")[0])  # type: ignore[arg-type]
    return found


def _gained(sample: Sample, gain: float) -> Sample:
    def more(flow: Traffic) -> Traffic:
        factor = 1.0 + gain
        return replace(flow, bytes=round(flow.bytes * factor), packets=round(flow.packets * factor))

    def port(one: Port) -> Port:
        return Port(inward=more(one.inward), outward=more(one.outward))

    vifs = {vif: port(one) for vif, one in sample.vifs.items()}
    return replace(sample, vifs=vifs, uplink=port(sample.uplink))


def _report(gain: float, pairs: int, judged: list[Judgement]) -> None:
    outcomes = Counter(judgement.outcome for judgement in judged)
    kept = outcomes["better"]
    seconds = sorted(2.0 * one.pairs * (2.0 + SETTLE) for one in judged)
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"true gain {gain:.0%}, at most {pairs} pairs: {told}")
    interval = binomtest(kept, len(judged)).proportion_ci()
    print(
        f"  kept {kept / len(judged):.1%} (95 %: {interval.low:.1%} to {interval.high:.1%})", end=""
    )
    if gain == 0.0:
        word = "consistent with" if interval.low <= ERROR_RATE <= interval.high else "below"
        word = "ABOVE" if interval.low > ERROR_RATE else word
        print(f", {word} the stated {ERROR_RATE:.0%}")
    else:
        print()
    middle, late = seconds[len(seconds) // 2], seconds[int(0.9 * len(seconds))]
    print(f"  with samples of 2 s: {middle:.0f} s until it is told, 90 % within {late:.0f} s\n")


if __name__ == "__main__":
    main()
