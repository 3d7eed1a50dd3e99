"""What a simulated host tells beside its sample: stages of a packet's way, and answers."""

import pytest
from msgspec.structs import replace

from envs.reward import cores_used
from envs.scenario import Flow, load
from envs.sim.host import SimHost
from tuner.simulated import Measured, answer_table, stage_table

LAB = load("lab")
SECONDS = 0.05


def measured(*flows: Flow) -> Measured:
    return Measured.of(SimHost(replace(LAB, flows=flows or LAB.flows)), SECONDS)


def test_the_stages_together_take_what_the_host_took() -> None:
    host = SimHost(LAB)
    row = Measured.of(host, SECONDS)
    stages = sum(use.seconds for use in row.stages.values()) / SECONDS
    assert stages == pytest.approx(cores_used(host.describe(), host.settings(), row.sample), 0.02)
    assert stage_table({"stock": row}).row_count > 3


def test_stages_that_took_nothing_are_left_out() -> None:
    assert "driver domain: NIC" not in list(stage_table({"stock": measured()}).columns[0].cells)


def test_answers_are_told_where_there_are_requests_and_only_there() -> None:
    requests = Flow(source="g1", sink="g2", kind="rr", connections=4)
    table = answer_table({"bulk": measured(), "requests": measured(requests)})
    assert table is not None
    assert list(table.columns[0].cells) == ["requests"]
    assert answer_table({"bulk": measured()}) is None
