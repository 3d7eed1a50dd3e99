"""Many hosts: a list that is wrong is refused whole, the first goes alone, a failure stops."""

import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.hosts.locate import check
from tuner.fleet import Fleet, Line, expand, tune_all
from tuner.interrupts import Interrupts

SIM = ("sim:lab", "sim:lab?seed=1", "sim:lab?seed=2", "sim:lab?seed=3")
QUICK = ("--policy", "liao-queue", "--tries", "1", "--pairs", "2", "--seconds", "0.01")


def test_hosts_come_from_the_command_line_and_from_files(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# two racks\nxen+ssh://root@a:2222\n\n  qemu:///system  # here\n")
    assert expand(["lab:x", f"@{path}"]) == ("lab:x", "xen+ssh://root@a:2222", "qemu:///system")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"lab:a\nnonsense\n", "line 2: 'nonsense' names no host"),
        (b"lab:a\nlab:b\nlab:a\n", "line 3: lab:a is given twice"),
        (b"lab+ssh://x\n", r"lab hosts are not reached by \+ssh"),
        (b"lab:a\nlab:UPPER\n", "line 2: lab name 'UPPER' is not"),
        (b"lab:a\nqemu:///systen\n", "line 2: 'qemu:///systen': write qemu:///system"),
        (b"lab:a\nkvm:bar\n", "line 2: 'kvm:bar': write"),
        (b"lab:a\nxen:foo\n", "line 2: 'xen:foo': write xen:"),
        (b"lab:a\nsim:no-such\n", "line 2: no scenario 'no-such'"),
        (b"xen+ssh://user:secret@host\n", "without a password"),
        (b"xen+ssh://-oProxyCommand=x\n", "dash"),
        (b"xen+telnet://host\n", r"not reached by \+telnet"),
        (b"\xff\xfe", "is not text"),
        (b"# none\n\n", "no host is given"),
        (b"lab:a\n" * 200_000, "larger than"),
    ],
)
def test_a_bad_line_refuses_the_whole_list(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(text)
    with pytest.raises(InputError, match=says):
        expand([f"@{path}"])


def test_a_list_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="cannot read"):
        expand(["@/no/such/list"])


@given(st.text(max_size=60))
def test_whatever_a_line_holds_is_a_host_or_refused_in_one_line(text: str) -> None:
    try:
        check(text)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most texts are no hosts, some are


@pytest.fixture
def tune() -> Callable[..., tuple[Fleet, list[Line]]]:
    def run(*hosts: str, words: tuple[str, ...] = QUICK) -> tuple[Fleet, list[Line]]:
        heard: list[Line] = []
        fleet = tune_all(hosts, words, at_once=2, noted=Interrupts(), told=heard.append)
        return fleet, heard

    return run


def test_every_host_is_tuned_and_told_of(tune: Callable[..., tuple[Fleet, list[Line]]]) -> None:
    fleet, heard = tune(*SIM[:3])
    assert fleet.exit_code == 0
    assert [line.host for line in fleet.hosts] == list(SIM[:3])
    assert {line.outcome for line in fleet.hosts} <= {"kept", "left as found"}
    assert heard[0].host == SIM[0]
    assert len(heard) == 3


def test_no_host_is_begun_after_the_first_has_failed(
    tune: Callable[..., tuple[Fleet, list[Line]]],
) -> None:
    fleet, _ = tune("lab:no-such", *SIM)
    assert fleet.exit_code == 4
    assert fleet.hosts[0].outcome == "failed"
    assert "run: tuner lab up" in fleet.hosts[0].reason
    assert {line.outcome for line in fleet.hosts[1:]} == {"not begun"}


def test_a_signal_ends_those_that_run_and_what_became_of_each_is_told() -> None:
    noted = Interrupts()
    fleet = tune_all(
        SIM,
        QUICK,
        at_once=1,
        noted=noted,
        told=lambda _line: noted.note(signal.SIGINT, None),
    )
    assert fleet.exit_code == 130
    assert fleet.hosts[0].outcome in ("kept", "left as found")
    assert (fleet.hosts[1].outcome, fleet.hosts[1].exit_code) == ("failed", 143)
    assert {line.outcome for line in fleet.hosts[2:]} == {"not begun"}


def test_the_result_is_json(tune: Callable[..., tuple[Fleet, list[Line]]]) -> None:
    fleet, _ = tune("lab:no-such", SIM[0])
    assert msgspec.json.decode(msgspec.json.encode(fleet), type=Fleet) == fleet
