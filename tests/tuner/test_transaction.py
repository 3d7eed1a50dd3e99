"""Whatever happens, a host ends as it was found or as it was confirmed."""

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from expiry import expire
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost

from envs.errors import CommandFailed, HostBusy, HostError, IllegalSetting, InputError, NotApplied
from envs.host import Settings
from envs.hosts.transport import LocalTransport, Result
from tuner import state
from tuner import transaction as transaction_module
from tuner.commands.status import Status, examine
from tuner.interrupts import Interrupted
from tuner.transaction import lent, transaction
from tuner.undo import recover, roll_back
from tuner.watchdog import Reverted

LONGER = replace(FOUND, tx_queue={"vif1": 1000, "vif2": 1000})
LEAN = replace(FOUND, bridge="lean")
SHORTER = replace(FOUND, tx_queue={"vif1": 8, "vif2": 8})


@pytest.fixture
def host(tmp_path: Path) -> StumblingHost:
    return StumblingHost(tmp_path)


def attempt(host: StumblingHost, *targets: Settings) -> None:
    """Try settings without confirming any."""
    with state.held(host) as held, transaction(held, "test") as trial:
        for target in targets:
            trial.apply(target)
            trial.measure(1.0)


def keep(host: StumblingHost, target: Settings) -> None:
    with state.held(host) as held, transaction(held, "test") as trial:
        trial.apply(target)
        trial.confirm()


def test_without_a_confirmation_the_host_is_as_found(host: StumblingHost) -> None:
    with state.held(host) as held, transaction(held, "test") as trial:
        trial.apply(LONGER)
        assert host.now == LONGER
    assert host.now == FOUND


def test_a_confirmed_setting_stays(host: StumblingHost) -> None:
    keep(host, LONGER)
    assert host.now == LONGER


class Lossy(LocalTransport):
    """Loses commands that close a transaction, or their answers, and the next command's as well."""

    def __init__(self, ways: list[str]) -> None:
        self.ways = ways

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        closing = "close" in argv or (self.ways and self.ways[0] == "answer to look lost")
        way = self.ways.pop(0) if closing and self.ways else ""
        lost = Result(argv=tuple(argv), rc=0)
        if way != "command lost":
            lost = super().run(argv, stdin=stdin, timeout=timeout)
        if way.startswith("answer"):
            raise CommandFailed("the link broke")
        return lost


@pytest.mark.parametrize(
    ("ways", "kept"),
    [
        (["command lost"], False),
        (["answer lost"], True),
        (["answer lost", "answer to look lost"], True),
    ],
)
def test_whether_a_setting_is_confirmed_is_what_the_host_says(
    host: StumblingHost, ways: list[str], kept: bool
) -> None:
    host.transport = Lossy(ways)
    with suppress(HostError):
        keep(host, LONGER)
    assert host.now == (LONGER if kept else FOUND)
    with state.held(host) as held:
        standing = held.journal.standing()
    assert standing.pending is None
    assert len(standing.generations) == kept


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
    with state.held(host) as held, transaction(held, "test") as trial:
        assert "apply" not in host.calls
        assert held.journal.standing().pending is not None
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
    with state.held(host) as held, transaction(held, "test") as trial:
        assert trial.found == FOUND
    assert host.now == FOUND


def test_what_a_killed_process_left_is_undone_by_recover(host: StumblingHost) -> None:
    abandon(host, LONGER)
    with state.held(host) as held:
        assert recover(held)
        assert not recover(held)
    assert host.now == FOUND


def test_a_host_that_is_lent_comes_back_as_found(host: StumblingHost) -> None:
    def use() -> None:
        with state.held(host) as held, lent(held, "test"):
            assert held.journal.standing().pending is not None
            host.now = LEAN
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert host.now == FOUND
    with state.held(host) as held:
        assert held.journal.standing().pending is None


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, InputError])
def test_who_a_host_is_lent_to_is_interrupted_once_it_has_put_itself_back(
    host: StumblingHost, monkeypatch: pytest.MonkeyPatch, stopped: type[BaseException]
) -> None:
    """Training goes on for hours: without a watchdog it may not."""
    monkeypatch.setattr(transaction_module, "RENEWALS", 10_000)

    def train() -> None:
        with state.held(host, confirm_within=1000) as held, lent(held, "test"):
            host.now = LEAN
            (host.state_dir / "undo").rename(host.state_dir / "undone")  # as the watchdog does
            try:
                while True:
                    time.sleep(1.0)
            except KeyboardInterrupt:
                raise stopped("go on with: --resume") from None

    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        with pytest.raises(Reverted, match=r"put itself back: .* go on with: --resume"):
            train()
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert host.now == FOUND


def test_rolling_back_goes_through_the_confirmed_changes_one_by_one(host: StumblingHost) -> None:
    keep(host, LONGER)
    keep(host, LEAN)
    with state.held(host) as held:
        roll_back(held)
        assert host.now == LONGER
        roll_back(held)
        assert host.now == FOUND
        with pytest.raises(InputError, match="nothing to roll back"):
            roll_back(held)


class Dying(LocalTransport):
    """Kills the process after a verb of the watchdog's."""

    def __init__(self, verb: str) -> None:
        self.verb = verb

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        done = super().run(argv, stdin=stdin, timeout=timeout)
        if self.verb in argv:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


@pytest.mark.parametrize("verb", ["append", "arm"])
def test_a_rollback_is_told_of_before_the_host_is_told_to_do_it_by_itself(
    host: StumblingHost, verb: str
) -> None:
    keep(host, LONGER)

    def work() -> None:
        host.transport = Dying(verb)
        with state.held(host) as held:
            roll_back(held)

    killed_in(work)
    status = put_back_by_itself(host)
    assert status.state == {"append": "interrupted", "arm": "reverted"}[verb]
    with state.held(host) as held:
        assert recover(held)
    assert host.now == FOUND


def test_rolling_back_keeps_what_somebody_else_has_changed_since(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.now = replace(LONGER, bridge="lean")
    with state.held(host) as held:
        assert roll_back(held) == ("bridge",)
    assert host.now == LEAN


def test_an_edit_in_the_very_moment_of_a_rollback_stays(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.calls.clear()
    edited = replace(FOUND, tx_queue={**FOUND.tx_queue, "vif2": 777})

    def edit(moment: str) -> bool:
        if moment == "snapshot" and host.calls.count("restore") == 1:
            host.now = edited
        return False

    host.stumble = edit
    with state.held(host) as held:
        assert roll_back(held) == ("tx_queue vif2",)
    assert host.now == edited
    assert examine("fake:", host).state == "untouched"


def test_a_forced_rollback_undoes_that_as_well(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.now = replace(LONGER, bridge="lean")
    with state.held(host) as held:
        assert roll_back(held, force=True) == ()
    assert host.now == FOUND


def test_rolling_back_to_an_earlier_change_undoes_all_after_it(host: StumblingHost) -> None:
    keep(host, LONGER)
    keep(host, LEAN)
    keep(host, SHORTER)
    with state.held(host) as held:
        roll_back(held, to=2)
        assert host.now == LONGER
        assert len(held.journal.standing().generations) == 1
        with pytest.raises(InputError, match="no confirmed change 2: there are 1"):
            roll_back(held, to=2)


def test_what_a_person_changed_after_a_tuner_was_killed_is_kept(host: StumblingHost) -> None:
    abandon(host, LONGER)
    host.now = replace(LONGER, weight={**FOUND.weight, "two": 99})
    with state.held(host) as held:
        assert "weight two" in recover(held)
    assert host.now == replace(FOUND, weight={**FOUND.weight, "two": 99})


def test_what_a_person_changed_is_kept_by_the_watchdog_of_a_tuner_that_was_killed(
    host: StumblingHost,
) -> None:
    abandon(host, LONGER)
    host.now = replace(LONGER, weight={**FOUND.weight, "two": 99})
    status = put_back_by_itself(host)
    assert host.now == replace(FOUND, weight={**FOUND.weight, "two": 99})
    assert (status.state, status.edited) == ("reverted", ("weight two",))


def test_a_host_that_cannot_be_put_back_is_left_to_its_watchdog(host: StumblingHost) -> None:
    host.stumble = lambda moment: moment == "restore"
    with pytest.raises(HostError, match="its watchdog will try again"):
        attempt(host, LONGER)
    status = examine("fake:", host)
    assert status.state == "reverting"
    assert re.search(r"its watchdog puts it back in \d+ s", status.summary)
    assert put_back_by_itself(host).state == "reverted"
    assert host.now == FOUND


def test_what_a_person_changed_is_kept_while_a_rollback_dies(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.now = replace(LONGER, bridge="lean")

    def work() -> None:
        host.transport = Dying("arm")
        with state.held(host) as held:
            roll_back(held)

    killed_in(work)
    assert put_back_by_itself(host).state == "reverted"
    assert host.now == LEAN


def test_a_tuner_killed_while_it_applies_is_undone_whole_by_the_watchdog(
    host: StumblingHost,
) -> None:
    """Nobody knows what of a setting half applied is ours, and this one changed all of it."""
    every = replace(
        LONGER,
        bridge="lean",
        weight={**FOUND.weight, "driver": 2048},
        placement=dict.fromkeys(FOUND.placement, (1,)),
    )
    abandon(host, every, halfway=True)
    assert host.now not in (FOUND, every)
    put_back_by_itself(host)
    assert host.now == FOUND


def test_all_settings_that_were_tried_are_undone_by_the_watchdog(host: StumblingHost) -> None:
    abandon(host, LONGER, LEAN)
    host.now = replace(LEAN, tx_queue=LONGER.tx_queue)  # as after a third that fell back
    put_back_by_itself(host)
    assert host.now == FOUND


def test_a_tuner_killed_before_it_read_back_is_undone_whole(host: StumblingHost) -> None:
    """Nobody knows what of a setting half applied is ours: being as found comes first."""
    abandon(host, LONGER, halfway=True)
    host.now = replace(LONGER, bridge="lean")
    with state.held(host) as held:
        recover(held)
    assert host.now == FOUND


def test_the_host_is_asked_once_more_by_a_newcomer(host: StumblingHost) -> None:
    newcomer = StumblingHost(host.state_dir / "elsewhere")
    with (
        pytest.raises(NotApplied, match="tx_queue of vif1 is 32, not 1000"),
        state.held(host, reopen=lambda: newcomer) as held,
        transaction(held, "test") as trial,
    ):
        trial.apply(LONGER)
    assert host.now == FOUND


def test_a_sample_is_shorter_than_the_time_to_confirm(host: StumblingHost) -> None:
    with (
        state.held(host, confirm_within=4) as held,
        transaction(held, "test") as trial,
        pytest.raises(InputError, match="--confirm-within 6"),
    ):
        trial.measure(3.0)


def test_a_rollback_that_stumbles_is_finished_by_the_next_command(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.stumble = lambda moment: moment == "restore halfway"
    with state.held(host) as held, pytest.raises(HostError):
        roll_back(held)
    host.stumble = lambda _moment: False
    with state.held(host) as held:
        assert recover(held)
    assert host.now == FOUND


def test_somebody_else_s_change_ends_the_transaction_and_is_kept(host: StumblingHost) -> None:
    def meddle(host: StumblingHost) -> None:
        host.now = replace(host.now, bridge="lean")

    host.before_measure = meddle
    with pytest.raises(HostError, match=r"somebody else changed the host .* bridge"):
        attempt(host, LONGER, FOUND)
    assert host.now == LEAN


class Lying(StumblingHost):
    """Says once of a lean bridge that it is not, to who asks for a snapshot."""

    lie = False

    def snapshot(self) -> bytes:
        told = super().snapshot()
        if not self.lie or b"lean" not in told:
            return told
        self.lie = False
        return told.replace(b"lean", b"stock")


def test_what_is_ours_is_not_taken_for_somebody_else_s_after_a_wrong_reading(
    tmp_path: Path,
) -> None:
    host = Lying(tmp_path)

    def attempt() -> None:
        with state.held(host) as held, transaction(held, "test") as trial:
            trial.apply(LEAN)
            trial.apply(FOUND)
            host.lie = True
            trial.apply(LEAN)
            trial.apply(FOUND)

    with pytest.raises(HostError, match="somebody else changed the host"):
        attempt()
    assert host.now == FOUND


def test_a_host_that_cannot_be_put_back_is_left_for_a_rollback(host: StumblingHost) -> None:
    host.stumble = lambda moment: moment == "restore halfway"
    with pytest.raises(HostError, match="tuner status"):
        attempt(host, LONGER)
    assert host.now != FOUND
    host.stumble = lambda _moment: False
    with state.held(host) as held:
        assert recover(held)
    assert host.now == FOUND


@settings(max_examples=20)
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
            with state.held(host) as held, transaction(held, "test") as trial:
                for target in (LONGER, FOUND, LEAN, LONGER):
                    trial.apply(target)
                    trial.measure(1.0)
                if confirm:
                    trial.confirm()
                    confirmed = True
        except HostError:
            pass
        assert host.now == (LONGER if confirmed else FOUND)
        with state.held(host) as held:
            assert held.journal.standing().pending is None


def abandon(host: StumblingHost, *targets: Settings, halfway: bool = False) -> None:
    """Do what a process does that is killed in the middle of a transaction."""

    def kill(moment: str) -> bool:
        if moment == "apply halfway":
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    def work() -> None:
        if halfway:
            host.stumble = kill
        with state.held(host) as held, transaction(held, "test") as trial:
            for target in targets:
                trial.apply(target)
            os.kill(os.getpid(), signal.SIGKILL)

    killed_in(work)


def killed_in(work: Callable[[], None]) -> None:
    """Do what kills its process, in one of its own."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)  # else there would be two of this test suite
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def put_back_by_itself(host: StumblingHost) -> Status:
    """Have the lease run out, and what the status says when the watchdog has put the host back."""
    expire(host.state_dir)
    while (status := examine("fake:", host)).state in ("reverting", "busy"):
        pass
    return status
