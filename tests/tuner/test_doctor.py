"""What the doctor makes of a host's description and of its answers."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_host import BASELINE, SPEC
from msgspec.structs import replace
from stumbling_host import StumblingHost

from envs.errors import CommandFailed, Unprivileged
from envs.host import Host
from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.transport import Result
from tuner import cli, doctor
from tuner.commands import options
from tuner.doctor import Diagnosis

Run = Callable[..., tuple[int, str, str]]

ALL_CAPABILITIES = "CapEff:\t000001ffffffffff\n"
NO_NET_ADMIN = "CapEff:\t000001ffffffefff\n"
FOUND = Diagnosis(host="xen:", spec=SPEC, settings=BASELINE)


def examined(kind: str = "xen", host: str = "xen:", **said: str) -> Diagnosis:
    """The diagnosis of a host that gives these answers, and else the best ones."""
    good = {"user": "root\n", "capabilities": ALL_CAPABILITIES, "tools": "", "running": ""}
    pools = "Name               CPUs   Sched     Active   Domain count\n"
    said = {**good, "pools": pools, "kernel": "Linux 6.1.0\n", "ip": "iproute2-6.1\n", **said}
    asked = doctor.questions(kind)
    answers = [Result(argv=q, rc=0, out=out) for q, out in zip(asked, said.values(), strict=False)]
    return doctor.examined(replace(FOUND, host=host), kind, answers)


def test_nothing_stands_in_the_way_of_a_host_that_has_all() -> None:
    found = examined()
    assert (found.rivals, found.missing, found.sudoers) == ((), (), ())
    assert found.versions == ("Linux 6.1.0", "iproute2-6.1")
    assert (found.spec, found.settings) == (SPEC, BASELINE)


def test_every_knob_is_told_with_its_limits_or_with_the_reason() -> None:
    limits = replace(
        SPEC.limits,
        tx_queue=None,
        bridge=("stock",),
        why_not={"tx_queue": "vif1.0 has fq_codel", "bridge": "br0 filters VLANs"},
    )
    found = {knob.knob: knob for knob in doctor.knobs(replace(SPEC, limits=limits))}
    assert list(found) == ["placement", "weight", "tx_queue", "bridge", "side_cores"]
    assert not found["tx_queue"].settable
    assert found["tx_queue"].why_not == "vif1.0 has fq_codel"
    assert not found["bridge"].settable
    assert found["placement"].settable
    assert found["placement"].within == "backends and guests"


def test_who_may_be_on_some_cores_only_is_told_where_placements_can_be_set() -> None:
    bound = replace(SPEC.limits, reach={"web/0": (1, 2)})
    fixed = replace(bound, backends=False, guests=False, why_not={"placement": "no names"})
    found, immovable = (next(doctor.knobs(replace(SPEC, limits=one))) for one in (bound, fixed))
    assert found.within == "backends and guests; web/0 on 1,2 only"
    assert (immovable.settable, immovable.within, immovable.why_not) == (False, "", "no names")


def test_what_fights_the_tuner_is_named_once_with_a_remedy() -> None:
    found = examined(running="tuned\nirqbalance\ntuned\n")
    assert [rival.name for rival in found.rivals] == ["tuned", "irqbalance"]
    assert "moves interrupts" in found.rivals[1].does
    assert "systemctl stop irqbalance" in found.rivals[1].remedy


def test_a_pool_of_others_is_named() -> None:
    listed = (
        "Name               CPUs   Sched     Active   Domain count\n"
        "Pool-0               2   credit2       y          1\n"
        "a batch              6    credit       y          4\n"
    )
    found = examined(pools=listed)
    (rival,) = found.rivals
    assert rival.name == "cpupool a batch"
    assert "6 cores" in rival.does
    assert found.versions[-1] == "scheduler credit2"


def test_what_is_missing_is_named_with_the_line_that_grants_it() -> None:
    found = examined(
        host="xen+ssh://ada@dom0", user="ada\n", capabilities=NO_NET_ADMIN, tools="tc\nsetsid\n"
    )
    assert found.missing == (
        "tc is not installed",
        "setsid is not installed",
        "CAP_NET_ADMIN",
    )
    assert found.sudoers == ("ada ALL=(root) NOPASSWD: /usr/bin/timeout",)


def test_a_host_of_this_machine_needs_the_tuner_itself_in_sudoers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/viotune/bin/tuner"])
    found = examined("kvm", "qemu:///system", user="eve\n", capabilities="CapEff:\t0\n")
    assert found.missing == ("CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_NICE")
    assert found.sudoers == ("eve ALL=(root) NOPASSWD: /opt/viotune/bin/tuner",)


def test_a_lab_of_an_ordinary_user_lacks_nothing() -> None:
    found = examined("lab", "lab:", user="eve\n", capabilities="CapEff:\t0\n")
    assert (found.missing, found.sudoers) == ((), ())


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tuner", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


def test_a_simulated_host_is_examined_like_any(tuner: Run) -> None:
    code, out, _ = tuner("doctor", "--host", "sim:modern-kvm", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["spec"]["uri"] == "sim:modern-kvm"
    assert {knob["knob"] for knob in told["knobs"] if knob["settable"]} >= {"placement", "bridge"}
    code, out, _ = tuner("doctor", "--host", "sim:modern-kvm")
    assert code == 0
    assert "as the agent sees it" in out


def test_a_live_host_is_asked_and_nothing_is_changed(
    tuner: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = StumblingHost(tmp_path / "state")
    monkeypatch.setattr(options, "open_host", lambda _uri: host)
    before = host.now
    code, out, _ = tuner("doctor", "--host", "fake:", "--json")
    assert code == 0
    assert json.loads(out)["versions"]
    assert host.now == before


def test_where_privileges_are_missing_to_look_at_all_the_line_is_told_just_the_same(
    tuner: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(uri: str) -> Host:
        raise Unprivileged(f"{uri}: not root there")

    monkeypatch.setattr(options, "open_host", refused)
    code, out, err = tuner("doctor", "--host", "xen+ssh://ada@dom0")
    assert (code, err) == (5, "")
    assert "not root there" in out
    assert "this line in sudoers would do: ada ALL=(root) NOPASSWD: /usr/bin/timeout" in out


def test_a_host_that_cannot_be_reached_is_an_error(
    tuner: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(uri: str) -> Host:
        raise CommandFailed(f"{uri}: no answer")

    monkeypatch.setattr(options, "open_host", unreachable)
    assert tuner("doctor", "--host", "xen+ssh://ada@dom0") == (
        4,
        "",
        "tuner: xen+ssh://ada@dom0: no answer\n",
    )


@pytest.mark.parametrize("words", [(), ("--bypass-filters",)])
def test_the_operator_s_word_on_filters_reaches_the_host(
    tuner: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    given = []

    def opened(_uri: str, **options: bool) -> Host:
        given.append(options)
        return StumblingHost(tmp_path / "state")

    monkeypatch.setattr(options, "open_host", opened)
    tuner("doctor", "--host", "fake:", *words)
    assert given == [{"bypass_filters": True} if words else {}]


@pytest.mark.lab
def test_a_lab_can_be_set_in_all_five_knobs(tuner: Run) -> None:
    name = f"d{os.getpid() % 10**7}"
    manage.up(LabConfig(name=name, neighbours=1))
    try:
        code, out, _ = tuner("doctor", "--host", f"lab:{name}", "--json")
    finally:
        manage.down(name)
    told = json.loads(out)
    assert code == 0
    assert told["missing"] == []
    settable = {knob["knob"] for knob in told["knobs"] if knob["settable"]}
    assert settable >= {"placement", "tx_queue", "bridge"}
