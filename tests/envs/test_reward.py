"""Bandwidth per core and its guards: what counts, what counts once, and what breaks."""

import math

import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.host import HostSpec, Port, Sample, Settings, Traffic
from envs.reward import (
    MAX_SHORTFALL,
    PENALTY,
    Guards,
    Verdict,
    bandwidth,
    cores_used,
    drop_share,
    judge,
)

FOUND = sample()
ON_SIDE = replace(
    BASELINE,
    placement={"netback": (0,), "web/0": (1,), "db/0": (2,), "burn/0": (3,)},
    side_cores=(0,),
)


def verdict(seen: Sample, settings: Settings = BASELINE, **guards: float) -> Verdict:
    return judge(SPEC, settings, seen, BASELINE, FOUND, Guards(**guards))


def traffic(gigabits: float) -> Traffic:
    return Traffic(bytes=int(gigabits * 125e6), packets=1000)


def margin(found: Verdict, name: str) -> float:
    return next(guard.margin for guard in found.guards if guard.name == name)


def test_each_byte_counts_where_it_leaves_the_last_queue() -> None:
    seen = replace(
        FOUND,
        seconds=2.0,
        vifs={
            "v0": Port(inward=traffic(4), outward=traffic(100)),
            "v1": Port(inward=traffic(2)),
        },
        uplink=Port(inward=traffic(100), outward=traffic(6)),
    )
    assert bandwidth(seen) == pytest.approx(6.0)


def test_cores_are_backends_and_io_guests_and_never_cpu_guests() -> None:
    assert cores_used(SPEC, BASELINE, FOUND) == pytest.approx(0.8 + 0.5 + 0.4)


def test_a_side_core_counts_one_and_the_backends_on_it_nothing_more() -> None:
    assert cores_used(SPEC, ON_SIDE, FOUND) == pytest.approx(1.0 + 0.5 + 0.4)
    beside = replace(ON_SIDE, placement={**ON_SIDE.placement, "netback": (0, 1)})
    assert cores_used(SPEC, beside, FOUND) == pytest.approx(1.0 + 0.8 + 0.5 + 0.4)


def test_interrupt_work_counts_only_where_it_is_in_no_task() -> None:
    seen = replace(FOUND, softirq=0.3)
    assert cores_used(SPEC, BASELINE, seen) == pytest.approx(1.7)
    assert cores_used(replace(SPEC, softirq_in_tasks=False), BASELINE, seen) == pytest.approx(2.0)


def test_drops_are_a_share_of_what_was_offered_to_the_queues() -> None:
    port = Port(inward=Traffic(packets=90, drops=10), outward=Traffic(packets=10**6, drops=10**6))
    seen = replace(FOUND, vifs={"v0": port, "v1": Port()}, uplink=Port())
    assert drop_share(seen) == pytest.approx(0.1)
    assert drop_share(replace(seen, vifs={"v0": Port(), "v1": Port()})) == 0.0


def test_the_baseline_gains_nothing_and_breaks_nothing() -> None:
    found = verdict(FOUND)
    assert found.gain == found.reward == 0.0
    assert found.holds


def test_the_gain_is_the_logarithm_of_bandwidth_per_core() -> None:
    found = verdict(replace(FOUND, backend_cpu={"netback": 0.05}))
    assert found.gain == pytest.approx(math.log(1.7 / 0.95))
    assert found.reward == found.gain
    assert found.per_core == pytest.approx(found.bandwidth / found.cores)


def slower(seen: Sample, share: float, vif: str) -> Sample:
    port = seen.vifs[vif]
    inward = replace(port.inward, bytes=int(port.inward.bytes * share))
    return replace(seen, vifs={**seen.vifs, vif: replace(port, inward=inward)})


def test_a_guests_bandwidth_is_guarded_beside_the_total() -> None:
    assert verdict(slower(FOUND, 0.96, "v1")).holds
    assert verdict(slower(FOUND, 0.90, "v1")).broken == ("bandwidth of db",)
    assert verdict(slower(FOUND, 0.80, "v1")).broken == ("bandwidth", "bandwidth of db")
    assert verdict(slower(FOUND, 0.80, "v1"), tolerance=0.25).holds


def test_a_cpu_guest_keeps_its_work() -> None:
    assert verdict(replace(FOUND, work={"burn": 91.0})).holds
    assert verdict(replace(FOUND, work={"burn": 80.0})).broken == ("work of burn",)
    assert margin(verdict(replace(FOUND, work={"burn": 45.0})), "work of burn") == pytest.approx(
        -0.5
    )


def test_a_cpu_guest_that_had_more_than_its_fair_share_may_lose_the_rest() -> None:
    crowded = replace(SPEC, cores=SPEC.cores[:1])  # one core for four: a fair share of 0.25
    seen = replace(FOUND, guest_cpu={**FOUND.guest_cpu, "burn": 0.25}, work={"burn": 27.8})
    assert judge(crowded, BASELINE, seen, BASELINE, FOUND).holds


def test_drops_and_latency_are_guarded_where_they_are_known() -> None:
    lossy = Port(inward=Traffic(bytes=250_000_000, packets=150_000, drops=50_000))
    seen = replace(FOUND, vifs={"v0": lossy, "v1": lossy})
    assert "drops" in verdict(seen).broken
    before = replace(FOUND, latency=1e-3)
    slow = judge(SPEC, BASELINE, replace(FOUND, latency=3e-3), BASELINE, before)
    assert slow.broken == ("latency",)
    assert judge(SPEC, BASELINE, replace(FOUND, latency=2e-3), BASELINE, before).holds


def test_a_broken_guard_costs_by_how_much_and_no_more_than_it_can() -> None:
    found = verdict(replace(FOUND, work={"burn": 45.0}))
    assert found.reward == pytest.approx(found.gain - PENALTY * 0.5)
    dead = verdict(replace(FOUND, work={"burn": 0.0}))
    assert dead.reward == pytest.approx(dead.gain - PENALTY * MAX_SHORTFALL)


@given(st.data(), hosts())
def test_any_two_samples_give_finite_numbers(
    data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    before, after = data.draw(samples(spec)), data.draw(samples(spec))
    judged = judge(spec, baseline, after, baseline, before)
    assert math.isfinite(judged.reward)
    assert judged.reward <= judged.gain
    assert judged.holds == (not judged.broken)
