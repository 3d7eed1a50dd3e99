"""How often a tuning keeps what is no better, and finds what is: on recorded noise of a lab.

    sudo .venv/bin/python results/honesty.py record 4800   # a lab as found, for 40 minutes
    .venv/bin/python results/honesty.py | tee results/honesty.txt
    sudo .venv/bin/python results/honesty.py live 40    # so many on a lab itself, in honesty-live

A trial is a tuning that measures the recording (``results/noise.py``). Live, it is the measuring
of the host as found but for TX queues longer by one packet in 1000, really set in one transaction
each; a run that was cut off goes on where it ended.

Trials that begin a few samples apart share most of theirs, so a thousand of them tell little more
than those that share none. The shares are means over all, but their intervals are as wide
as if only so many trials had been made as find a place without sharing a sample.
"""

import gzip
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median, quantiles

import msgspec
from noise import (
    FILE,
    Load,
    Recording,
    Trial,
    budget_of,
    longer,
    ramp,
    recorded,
    steady,
    trials,
)
from scipy.stats import beta

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.reward import Guards, bandwidth
from tuner import state
from tuner.commands.options import LIVE_TOLERANCE
from tuner.judge import CONFIDENCE, Judgement
from tuner.sequential import ERROR_RATE, FIRST_LOOK
from tuner.steadiness import LEAST_DRIFT
from tuner.transaction import transaction
from tuner.tune import Budget, measure_pairs

NAME = "honesty"
LIVE = FILE.with_name("honesty-live.jsonl")
SAMPLES, SECONDS = 400, 0.5
RISE = 1.5
PAIRS, MANY_PAIRS, TRIES = 12, 40, 3


def main() -> None:
    """Record, or judge what was recorded."""
    if sys.argv[1:2] == ["record"]:
        count = int(sys.argv[2]) if sys.argv[2:] else SAMPLES
        FILE.write_bytes(gzip.compress(msgspec.json.encode(record(count))))
        return
    if sys.argv[1:2] == ["live"]:
        live(int(sys.argv[2]))
        return
    recording = recorded()
    print(_about(recording))
    one, many = budget_of(recording, PAIRS), budget_of(recording, MANY_PAIRS)
    tries = budget_of(recording, PAIRS, TRIES)
    for budget in (one, many):
        _report(recording, budget, "the load as recorded", (0.0, 0.05, 0.1, 0.2, 0.4))
    _report(recording, tries, "the load as recorded", (0.0,))
    over_all, gains = f"the load rises to {RISE} times over the longest trial", (0.0, 0.1, 0.2, 0.4)
    _report(recording, one, over_all, gains, ramp(RISE, one.measurements))
    at_once = f"the load rises to {RISE} times within {FIRST_LOOK} pairs and stays there"
    _report(recording, one, at_once, gains, ramp(RISE, 1 + 2 * FIRST_LOOK))
    _report(recording, tries, over_all, gains, ramp(RISE, tries.measurements))


def record(count: int) -> Recording:
    """So many samples of a lab that nobody touches."""
    manage.up(LabConfig(name=NAME, workload="intra"))
    try:
        host = LabHost.open(NAME)
        samples = tuple(host.measure(SECONDS) for _ in range(count))
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
    better = sum(one.outcome == "better" for one in judged)
    print("\n" + _kept(better / len(judged), len(judged), nothing_there=True))


def live_trial(host: LabHost) -> Judgement:
    """One transaction with a setting that makes no difference."""
    budget = Budget(tries=1, pairs=PAIRS, seconds=SECONDS, settle=0.1)
    guards = Guards(tolerance=LIVE_TOLERANCE)
    with state.held(host) as held, transaction(held, "honesty") as trial:
        return measure_pairs(trial, longer(trial.found, 1), budget, guards, lambda _what: None, "")[
            0
        ]


def proportion(share: float, independent: int) -> tuple[float, float]:
    """The interval around a share that was seen as if in so many ``independent`` trials.

    Clopper and Pearson's with an effective sample size (Korn and Graubard, *Confidence intervals
    for proportions with small expected number of positive counts estimated from survey data*,
    Survey Methodology 24, 1998). A bootstrap would be sure of a share of nought.
    """
    hits, tail = share * independent, (1.0 - CONFIDENCE) / 2.0
    low = float(beta.ppf(tail, hits, independent - hits + 1.0)) if share > 0.0 else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1.0, independent - hits)) if share < 1.0 else 1.0
    return low, high


def _about(recording: Recording) -> str:
    gbps = [bandwidth(sample) for sample in recording.samples]
    tenth = len(gbps) // 10
    course = ", ".join(f"{median(gbps[n * tenth : (n + 1) * tenth]):.1f}" for n in range(10))
    return (
        f"{len(gbps)} samples of {recording.seconds} s of a lab as found; medians of tenths, in "
        f"Gb/s: {course}.\nThe recorded load itself changes: some trials that cannot tell "
        "are right.\nSeconds are of measuring; on a live host, settling comes on top."
    )


def _report(
    recording: Recording, budget: Budget, words: str, gains: Sequence[float], load: Load = steady
) -> None:
    tries = "one try" if budget.tries == 1 else f"{budget.tries} tries"
    stretches = recording.stretches(budget)
    print(f"\n== {tries} of at most {budget.pairs} pairs; {words}")
    print(f"   {stretches} stretches of {budget.measurements} samples do not overlap\n")
    for gain in gains:
        ended = trials(recording, gain, budget, load)
        kept = [trial for trial in ended if trial.risen is not None]
        share = _kept(len(kept) / len(ended), stretches, nothing_there=gain == 0.0)
        print(f"true gain {gain:.0%}; of all tries {_outcomes(ended)}\n  {share}")
        if gain > 0.0 and len(kept) > 1:
            print(f"  {_soon([trial.samples * recording.seconds for trial in kept])}")
        if load is not steady and kept:
            risen = [trial.risen for trial in kept if trial.risen is not None]
            print(f"  {_risen(risen, len(ended))}")
        print()


def _outcomes(ended: Sequence[Trial]) -> str:
    judged = [judgement for trial in ended for judgement in trial.judgements]
    outcomes = Counter(judgement.outcome for judgement in judged).most_common()
    unsteady = sum(not one.held_still and one.outcome == "cannot tell" for one in judged)
    told = ", ".join(f"{count / len(judged):.1%} {outcome}" for outcome, count in outcomes)
    return f"{told} ({unsteady / len(judged):.1%} because the load did not hold still)"


def _kept(share: float, independent: int, *, nothing_there: bool) -> str:
    low, high = proportion(share, independent)
    likely = f"95 %, as of {independent} trials: {low:.1%} to {high:.1%}"
    told = f"of all trials {share:.1%} kept ({likely})"
    if not nothing_there:
        return told
    if low > ERROR_RATE:
        return f"{told}, ABOVE the stated {ERROR_RATE:.0%}"
    return f"{told}, {'below' if high < ERROR_RATE else 'consistent with'} {ERROR_RATE:.0%}"


def _soon(seconds: list[float]) -> str:
    late = quantiles(seconds, n=10, method="inclusive")[-1]
    return f"where kept, half within {median(seconds):.1f} s, nine in ten within {late:.1f} s"


def _risen(factors: Sequence[float], count: int) -> str:
    gone = sum(factor > LEAST_DRIFT for factor in factors) / count
    return (
        f"while they were judged, the load of those kept rose to {median(factors):.2f} times "
        f"(median); kept though it rose to more than {LEAST_DRIFT} times: {gone:.1%} of all"
    )


if __name__ == "__main__":
    main()
