"""Fixed recipes: what each does, legal on any host."""

from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents import registry
from agents.policy import History
from agents.recipe import Recipe, every
from envs.host import HostSpec, Settings
from envs.knobs import check

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


@given(st.data(), hosts(), st.sampled_from(list(every())))
def test_every_recipe_is_legal_on_any_host(
    data: st.DataObject, found: tuple[HostSpec, Settings], recipe: Recipe
) -> None:
    spec, baseline = found
    seen = data.draw(samples(spec))
    history = History(spec=spec, baseline=baseline, baseline_sample=seen)
    settings = recipe.policy().propose(history)
    if settings is not None:
        check(spec, settings, baseline)


def test_a_recipe_sets_what_it_names_and_leaves_the_rest() -> None:
    settings = Recipe(tx_queue=512, bridge="direct").policy().propose(START)
    expected = dict.fromkeys(BASELINE.tx_queue, 512)
    assert settings == replace(BASELINE, tx_queue=expected, bridge="direct")


def test_a_recipe_does_not_look_at_what_was_measured() -> None:
    policy = Recipe(placement="pinned", boost=4).policy()
    busy = replace(START, baseline_sample=sample(BASELINE))
    assert policy.propose(START) == policy.propose(busy)


def test_pinning_gives_backends_and_io_vcpus_cores_of_their_own() -> None:
    settings = Recipe(placement="pinned").policy().propose(START)
    assert settings is not None
    own = [settings.placement[name] for name in ("netback", "web/0", "db/0")]
    assert own == [(0,), (1,), (2,)]
    assert settings.placement["burn/0"] == (3,)


def test_the_best_recipe_is_an_opponent() -> None:
    settings = registry.get("recipe").propose(START)
    assert settings is not None
    assert settings.bridge == "direct"


def test_a_recipe_that_changes_nothing_proposes_nothing() -> None:
    assert Recipe().policy().propose(START) is None
