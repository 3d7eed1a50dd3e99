"""What has been measured on a host so far: the baseline, then one trial for every setting tried."""

from envs.host import HostSpec, Record, Sample, Settings
from envs.reward import Guards, Verdict, judge


class Trial(Record, frozen=True):
    """A setting that was tried: what was measured under it, and how that was judged."""

    settings: Settings
    sample: Sample
    verdict: Verdict


class History(Record, frozen=True):
    """All that a policy may look at: the host, its baseline, the guards and the trials in order."""

    spec: HostSpec
    baseline: Settings
    baseline_sample: Sample
    trials: tuple[Trial, ...] = ()
    guards: Guards = Guards()

    @property
    def best(self) -> Trial | None:
        """The best trial whose guards hold and that beats the baseline, None if there is none."""
        good = [t for t in self.trials if t.verdict.holds and t.verdict.reward > 0.0]
        return max(good, key=lambda trial: trial.verdict.reward, default=None)

    @property
    def start(self) -> Settings:
        """Where the next decision starts: the best setting so far, or the baseline."""
        best = self.best
        return best.settings if best else self.baseline

    def with_sample(self, settings: Settings, sample: Sample) -> "History":
        """This history and one trial more, judged by its sample against that of the baseline."""
        verdict = judge(
            self.spec, settings, sample, self.baseline, self.baseline_sample, self.guards
        )
        return self.with_trial(Trial(settings=settings, sample=sample, verdict=verdict))

    def with_trial(self, trial: Trial) -> "History":
        """This history and one trial more."""
        return History(
            spec=self.spec,
            baseline=self.baseline,
            baseline_sample=self.baseline_sample,
            trials=(*self.trials, trial),
            guards=self.guards,
        )
