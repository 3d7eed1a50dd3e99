"""When a host that is kept tuned is worth another tuning: when its load is not what it was.

A load is what each guest sends and receives and how busy the CPU-bound ones are; compared are the
loads under the setting that was last chosen, so that what the setting itself brings is no change.
Pure functions: ``tuner.commands.watch`` looks, waits and tunes.
"""

from collections.abc import Mapping

from envs.host import HostSpec, Sample
from envs.reward import guest_bandwidth

FACTOR = 1.5
"""A flow that has grown or shrunk by more than this has changed; noise moves it by far less."""
TRIFLE = 0.1
"""Flows below this share of the largest are no reason to tune, whatever they do."""

Load = Mapping[str, float]
"""Gb/s by "what of whom", and cores for CPU-bound guests."""


def load(spec: HostSpec, sample: Sample) -> Load:
    """The load in a sample."""
    found: dict[str, float] = {}
    for guest in spec.guests:
        if guest.role == "io" and guest.vifs:
            found[f"traffic of {guest.name}"] = guest_bandwidth(sample, guest.vifs)
            received = sum(sample.vifs[vif].inward.bytes for vif in guest.vifs)
            found[f"traffic into {guest.name}"] = 8e-9 * received / sample.seconds
        elif guest.role == "cpu":
            found[f"cores of {guest.name}"] = sample.guest_cpu[guest.name] / sample.seconds
    return found


def change(then: Load, now: Load) -> str:
    """What has changed from one load to another, in words; empty if nothing has.

    Guests that come and go are a change, too.
    """
    if then.keys() != now.keys():
        return "other guests: " + ", ".join(sorted(then.keys() ^ now.keys()))
    told = []
    for unit in ("traffic", "cores"):
        keys = [key for key in now if key.startswith(unit)]
        floor = TRIFLE * max((max(then[key], now[key]) for key in keys), default=0.0)
        for key in keys:
            before, after = max(then[key], floor), max(now[key], floor)
            if max(before, after) > FACTOR * min(before, after):
                told.append(f"{key} {then[key]:.2f} -> {now[key]:.2f}")
    return ", ".join(told)


def idle(now: Load) -> bool:
    """Whether nothing flows: there is nothing to tune for."""
    return not any(value > 1e-3 for key, value in now.items() if key.startswith("traffic"))
