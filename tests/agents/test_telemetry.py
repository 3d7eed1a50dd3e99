"""What a training host tells of itself: less than the simulator knows, and not exactly."""

import numpy as np
import pytest

from agents.telemetry import Telemetry, ToldHost
from envs.reward import bandwidth
from envs.scenario import load
from envs.sim.host import SimHost


def test_what_a_host_does_not_tell_is_unknown_and_the_rest_is_as_it_is() -> None:
    sample = SimHost(load("lab")).measure(0.02)
    telemetry = Telemetry(latency=False, cache_misses=True, noise=0.0)
    told = telemetry.told(sample, np.random.default_rng(0))
    assert told.latency is None
    assert told.cache_misses == sample.cache_misses
    assert (told.vifs, told.guest_cpu) == (sample.vifs, sample.guest_cpu)


def test_noise_goes_up_and_down_alike_and_by_as_much_as_is_said() -> None:
    sample = SimHost(load("lab")).measure(0.02)
    telemetry = Telemetry(latency=True, cache_misses=True, noise=0.05)
    rng = np.random.default_rng(0)
    told = [bandwidth(telemetry.told(sample, rng)) for _ in range(2000)]
    logs = np.log(np.array(told) / bandwidth(sample))
    assert logs.mean() == pytest.approx(0.0, abs=0.005)
    assert logs.std() == pytest.approx(0.05, rel=0.1)


def test_hosts_differ_in_what_they_tell() -> None:
    drawn = [Telemetry.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {(one.latency, one.cache_misses) for one in drawn} == {
        (a, b) for a in (False, True) for b in (False, True)
    }


def test_a_host_validated_on_is_measured_exactly() -> None:
    host = ToldHost(load("lab"), 3, noisy=False)
    assert host.measure(0.02) == host.measure(0.02)
    noisy = ToldHost(load("lab"), 3)
    assert noisy.measure(0.02) != noisy.measure(0.02)
