"""A batch against HostEnv: the same hosts, choices, observations, samples and rewards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.batch.batch import Batch
from envs.errors import InputError, TunerError
from envs.host_env import HostEnv
from envs.layout import Observation
from envs.reward import Guards
from envs.scenario import VALIDATION_SEEDS, Flow, Scenario, Settable, Stock, generate, load, names
from envs.sim.host import SimHost
from envs.sim.state import STATE

pytestmark = pytest.mark.timeout(1800)  # what they use is compiled first, once

SECONDS = 0.002
DECISIONS = 2
GUARDS = Guards(tolerance=0.02, drops=0.01)

Hosts = list[tuple[Scenario, int]]


def agree(hosts: Hosts, rng: np.random.Generator, decisions: int = DECISIONS) -> None:
    """Play an episode on each host with random actions, one by one and in a batch."""
    envs = [
        HostEnv(SimHost(*host), decisions=decisions, seconds=SECONDS, guards=GUARDS)
        for host in hosts
    ]
    batch = Batch(len(hosts), decisions, SECONDS, GUARDS)
    batch.put(dict(enumerate(hosts)))
    same([env.reset()[0] for env in envs], batch)
    playing = np.ones(len(hosts), bool)
    while playing.any():
        actions = np.array([an_action(env, rng) for env in envs])
        batch.step(actions)
        ended = batch.ended
        for place in np.flatnonzero(playing):
            observation, reward, done, _, info = envs[place].step(actions[place])
            same([observation], batch, place)
            assert batch.shown.reward[place] == pytest.approx(reward, rel=1e-12, abs=1e-12)
            assert batch.decided[place] == ("gain" in info)
            assert batch.shown.gain[place] == pytest.approx(info.get("gain", 0.0)) or not info
            assert ended[place] == done
            if done:
                assert batch.history(place).trials == info["trials"]
        playing &= ~ended


def play(batch: Batch, steps: int) -> None:
    for _ in range(steps):
        batch.step(np.ones(batch.places, np.int64))


def an_action(env: HostEnv, rng: np.random.Generator) -> int:
    """Now and then nonsense, often to keep; else one of the values."""
    offered = np.flatnonzero(env.action_masks())
    kind = rng.random()
    return 47 if kind < 0.05 else 0 if kind < 0.5 else int(rng.choice(offered))


def same(observations: list[Observation], batch: Batch, first: int = 0) -> None:
    shown = batch.observation()
    for place, observation in enumerate(observations, start=first):
        for key, array in observation.items():
            assert array.dtype == shown[key].dtype
            np.testing.assert_allclose(shown[key][place], array, rtol=0, atol=1e-6, err_msg=key)


@settings(max_examples=12)
@given(st.lists(st.sampled_from(VALIDATION_SEEDS), min_size=1, max_size=5), st.integers(0, 2**31))
def test_generated_hosts_are_what_host_env_makes_of_them(seeds: list[int], draw: int) -> None:
    agree([(generate(seed), seed) for seed in seeds], np.random.default_rng(draw))


@pytest.mark.parametrize("name", names())
def test_so_are_the_shipped_scenarios(name: str) -> None:
    agree([(load(name), 1), (load(name), 2)], np.random.default_rng(0))


SETTABLE = st.builds(
    Settable,
    backends=st.booleans(),
    guests=st.booleans(),
    weights=st.booleans(),
    weight_max=st.sampled_from([300, 1024, 65535]),
    tx_queue_max=st.sampled_from([0, 64, 900, 1000]),
    bridge=st.sampled_from([("stock",), ("direct", "stock"), ("stock", "lean", "direct")]),
    side_cores=st.just(1),
    polling=st.booleans(),
)
STOCK = st.builds(
    Stock,
    weight=st.sampled_from([1, 100, 256]),
    tx_queue=st.sampled_from([1, 32, 33]),
    bridge=st.sampled_from(["stock", "lean"]),
)


@settings(max_examples=12)
@given(st.sampled_from(VALIDATION_SEEDS), SETTABLE, STOCK, st.data())
def test_whatever_can_be_set(seed: int, can: Settable, stock: Stock, data: st.DataObject) -> None:
    plain = generate(seed)
    can = replace(can, side_cores=data.draw(st.integers(0, plain.topology.cores - 1)))
    if 0 < can.tx_queue_max < stock.tx_queue:
        stock = replace(stock, tx_queue=can.tx_queue_max)
    agree([(replace(plain, settable=can, stock=stock), seed)], np.random.default_rng(seed), 4)


def test_a_host_without_any_knob_has_one_choice_that_does_nothing() -> None:
    fixed = Settable(
        backends=False, guests=False, weights=False, tx_queue_max=0, bridge=("stock",), side_cores=0
    )
    agree([(replace(load("lab"), settable=fixed), 0)], np.random.default_rng(0))


def test_requests_tell_their_latency() -> None:
    asks = (Flow(source="outside", sink="g1", kind="rr", connections=8),)
    agree([(replace(load("lab"), flows=asks), 0)], np.random.default_rng(0))


def test_a_host_gives_the_same_alone_or_in_any_place() -> None:
    hosts = [(generate(seed), seed) for seed in VALIDATION_SEEDS[:4]]
    together, alone = Batch(4, DECISIONS, SECONDS, GUARDS), Batch(1, DECISIONS, SECONDS, GUARDS)
    together.put({3 - k: host for k, host in enumerate(hosts)})
    play(together, 20)
    for k, host in enumerate(hosts):
        alone.put({0: host})
        play(alone, 20)
        assert alone.history(0) == together.history(3 - k)
        for key, array in alone.observation().items():
            assert array[0].tobytes() == together.observation()[key][3 - k].tobytes()


def test_an_ended_host_stays_as_it_is_until_another_is_put_in_its_place() -> None:
    batch = Batch(1, 1, SECONDS, GUARDS)
    batch.put({0: (load("lab"), 0)})
    while not batch.ended[0]:
        batch.step(np.zeros(1, np.int64))
    last, found = batch.observation(), batch.history(0)
    batch.step(np.ones(1, np.int64))
    assert batch.history(0) == found
    same([{key: array[0] for key, array in last.items()}], batch)
    batch.put({0: (load("lab"), 0)})
    assert not batch.ended[0]
    assert batch.history(0).trials == ()


def test_impossible_counters_stop_it_with_scenario_and_seed() -> None:
    batch = Batch(2, 1, SECONDS, GUARDS)
    batch.put({0: (load("lab"), 0), 1: (load("lab"), 77)})
    at = STATE.fields["vcpu"][1] + STATE["vcpu"].base.fields["cpu"][1]
    batch._places.begins[1, at : at + 8] = np.array([np.nan]).view("u1")
    with pytest.raises(TunerError, match=r"'lab', seed 77: .*impossible"):
        play(batch, 20)


def test_a_measurement_takes_time() -> None:
    with pytest.raises(InputError, match="more than 0"):
        Batch(1, 1, 0.0, GUARDS)


def test_4096_hosts_fit_into_a_gibibyte() -> None:
    batch = Batch(1, 3, SECONDS, GUARDS)
    arrays = [*batch.shown, *batch._places]
    assert 4096 * sum(array.nbytes for array in arrays) < 2**30
