"""Whatever happens, a host ends as it was found or as it was confirmed."""

import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost

from envs.errors import HostBusy, HostError, IllegalSetting, InputError
from envs.host import Settings
from tuner import state
from tuner.interrupts import Interrupted
from tuner.transaction import lent, recover, roll_back, transaction

LONGER = replace(FOUND, tx_queue={"vif1": 1000, "vif2": 1000})
LEAN = replace(FOUND, bridge="lean")


@pytest.fixture
def host(tmp_path: Path) -> StumblingHost:
    return StumblingHost(tmp_path)


def attempt(host: StumblingHost, *targets: Settings) -> None:
    """Try settings without confirming any."""
    with state.held(host) as journal, transaction(host, journal, "test") as trial:
        for target in targets:
            trial.apply(target)
            trial.measure(1.0)


def keep(host: StumblingHost, target: Settings) -> None:
    with state.held(host) as journal, transaction(host, journal, "test") as trial:
        trial.apply(target)
        trial.confirm()


def test_without_a_confirmation_the_host_is_as_found(host: StumblingHost) -> None:
    with state.held(host) as journal, transaction(host, journal, "test") as trial:
        trial.apply(LONGER)
        assert host.now == LONGER
    assert host.now == FOUND


def test_a_confirmed_setting_stays(host: StumblingHost) -> None:
    keep(host, LONGER)
    assert host.now == LONGER


def test_an_exception_restores_and_goes_on(host: StumblingHost) -> None:
    def crash(_host: StumblingHost) -> None:
        raise ZeroDivisionError

    host.before_measure = crash
    with pytest.raises(ZeroDivisionError):
        attempt(host, LONGER)
    assert host.now == FOUND


def test_an_illegal_setting_is_refused_before_anything_is_touched(host: StumblingHost) -> None:
    with pytest.raises(IllegalSetting):
        attempt(host, replace(FOUND, tx_queue={"vif1": 99999, "vif2": 32}))
    assert "apply" not in host.calls


def test_the_snapshot_is_on_disk_before_anything_is_touched(host: StumblingHost) -> None:
    with state.held(host) as journal, transaction(host, journal, "test") as trial:
        assert "apply" not in host.calls
        assert journal.standing().pending is not None
        trial.apply(LONGER)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_measuring_restores_and_ends_with_its_exit_code(
    host: StumblingHost, number: int
) -> None:
    host.before_measure = lambda _host: os.kill(os.getpid(), number)
    with pytest.raises(Interrupted) as ended:
        attempt(host, LONGER)
    assert ended.value.exit_code == 128 + number
    assert host.now == FOUND


def test_a_signal_while_the_host_is_changed_waits_until_it_is_changed(host: StumblingHost) -> None:
    def send(moment: str) -> bool:
        if moment == "apply halfway":
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    host.stumble = send
    with pytest.raises(Interrupted):
        attempt(host, LONGER)
    assert host.calls.count("apply") == host.calls.count("apply halfway") == 1
    assert "measure" not in host.calls
    assert host.now == FOUND


def test_more_signals_do_not_cut_off_the_undoing(host: StumblingHost) -> None:
    def send(moment: str) -> bool:
        if moment in ("measure", "restore", "restore halfway"):
            os.kill(os.getpid(), signal.SIGINT)
        return False

    host.stumble = send
    with pytest.raises(Interrupted):
        attempt(host, LONGER)
    assert host.now == FOUND


def test_the_signals_are_handled_as_before_afterwards(host: StumblingHost) -> None:
    before = signal.getsignal(signal.SIGINT)
    keep(host, LONGER)
    assert signal.getsignal(signal.SIGINT) is before


def test_two_tuners_do_not_get_the_same_host(host: StumblingHost) -> None:
    with state.held(host), pytest.raises(HostBusy, match=f"process {os.getpid()}"):
        attempt(host, LONGER)


def test_what_a_killed_process_left_is_undone_by_the_next_transaction(host: StumblingHost) -> None:
    abandon(host, LONGER)
    with state.held(host) as journal, transaction(host, journal, "test") as trial:
        assert trial.found == FOUND
    assert host.now == FOUND


def test_what_a_killed_process_left_is_undone_by_recover(host: StumblingHost) -> None:
    abandon(host, LONGER)
    with state.held(host) as journal:
        assert recover(host, journal)
        assert not recover(host, journal)
    assert host.now == FOUND


def test_a_host_that_is_lent_comes_back_as_found(host: StumblingHost) -> None:
    def use() -> None:
        with state.held(host) as journal, lent(host, journal, "test"):
            assert journal.standing().pending is not None
            host.now = LEAN
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert host.now == FOUND
    with state.held(host) as journal:
        assert journal.standing().pending is None


def test_rolling_back_goes_through_the_confirmed_changes_one_by_one(host: StumblingHost) -> None:
    keep(host, LONGER)
    keep(host, LEAN)
    with state.held(host) as journal:
        roll_back(host, journal)
        assert host.now == LONGER
        roll_back(host, journal)
        assert host.now == FOUND
        with pytest.raises(InputError, match="nothing to roll back"):
            roll_back(host, journal)


def test_rolling_back_over_somebody_else_s_change_needs_force(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.now = LEAN
    with state.held(host) as journal:
        with pytest.raises(InputError, match="somebody else has changed"):
            roll_back(host, journal)
        assert host.now == LEAN
        roll_back(host, journal, force=True)
    assert host.now == FOUND


def test_a_rollback_that_stumbles_is_finished_by_the_next_command(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.stumble = lambda moment: moment == "restore halfway"
    with state.held(host) as journal, pytest.raises(HostError):
        roll_back(host, journal)
    host.stumble = lambda _moment: False
    with state.held(host) as journal:
        assert recover(host, journal)
    assert host.now == FOUND


def test_somebody_else_s_change_ends_the_transaction_and_is_kept(host: StumblingHost) -> None:
    def meddle(host: StumblingHost) -> None:
        host.now = replace(host.now, bridge="lean")

    host.before_measure = meddle
    with pytest.raises(HostError, match=r"somebody else changed the host .* bridge"):
        attempt(host, LONGER, FOUND)
    assert host.now == LEAN


def test_a_host_that_cannot_be_put_back_is_left_for_a_rollback(host: StumblingHost) -> None:
    host.stumble = lambda moment: moment == "restore halfway"
    with pytest.raises(HostError, match="tuner rollback"):
        attempt(host, LONGER)
    assert host.now != FOUND
    host.stumble = lambda _moment: False
    with state.held(host) as journal:
        assert recover(host, journal)
    assert host.now == FOUND


@settings(deadline=None)
@given(st.sets(st.integers(0, 60), max_size=2), st.booleans())
def test_a_host_that_stumbles_anywhere_ends_as_found_or_as_confirmed(
    stumbles: set[int], confirm: bool
) -> None:
    """At most two of its calls fail, at any moment: before, halfway through or after a change."""
    with TemporaryDirectory() as folder:
        host = StumblingHost(Path(folder))
        host.stumble = lambda _moment: len(host.calls) in stumbles
        confirmed = False
        try:
            with state.held(host) as journal, transaction(host, journal, "test") as trial:
                for target in (LONGER, FOUND, LEAN, LONGER):
                    trial.apply(target)
                    trial.measure(1.0)
                if confirm:
                    trial.confirm()
                    confirmed = True
        except HostError:
            pass
        assert host.now == (LONGER if confirmed else FOUND)
        with state.held(host) as journal:
            assert journal.standing().pending is None


def abandon(host: StumblingHost, target: Settings) -> None:
    """Do what a process does that is killed in the middle of a transaction."""
    child = os.fork()
    if child == 0:
        with state.held(host) as journal, transaction(host, journal, "test") as trial:
            trial.apply(target)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    host.now = target
