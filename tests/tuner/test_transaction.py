"""Whatever happens, a host ends as it was found or as it was confirmed."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost
from trying import LEAN, LONGER, attempt, keep

from envs.errors import CommandFailed, HostBusy, HostError, IllegalSetting, InputError, NotApplied
from envs.hosts.transport import LocalTransport, Result
from tuner import state
from tuner import transaction as transaction_module
from tuner.interrupts import Interrupted, interrupts
from tuner.transaction import lent, transaction
from tuner.watchdog import Reverted


@pytest.fixture
def host(tmp_path: Path) -> StumblingHost:
    return StumblingHost(tmp_path)


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


@pytest.mark.parametrize("step", ["apply", "restore"])
def test_an_edit_in_the_moment_before_a_change_stays(host: StumblingHost, step: str) -> None:
    def edit(moment: str) -> bool:
        if moment == step and host.now.weight["two"] != 99:
            host.now = replace(host.now, weight={**FOUND.weight, "two": 99})
        return False

    host.stumble = edit
    with pytest.raises(HostError, match=r"somebody else changed the host .*: weight two"):
        attempt(host, LONGER, FOUND)
    assert host.now == replace(FOUND, weight={**FOUND.weight, "two": 99})


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


def test_an_undo_that_a_defect_of_ours_ends_is_tried_again(
    host: StumblingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    defects, restore = [KeyError("a thread"), ValueError("a number")], host.restore

    def restored(snapshot: bytes, seen: bytes | None = None) -> None:
        if defects:
            host.now = replace(host.now, tx_queue={"vif1": 77, "vif2": 1000})  # half done
            raise defects.pop()
        restore(snapshot, seen)

    monkeypatch.setattr(host, "restore", restored)
    attempt(host, LONGER)
    assert (host.now, defects) == (FOUND, [])


@pytest.mark.parametrize("end", ["confirm", "hold"])
def test_a_signal_while_the_last_setting_is_applied_restores(host: StumblingHost, end: str) -> None:
    def ask_to_end(moment: str) -> bool:
        if moment == "apply halfway":
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    def tune() -> None:
        with state.held(host) as held, transaction(held, "test") as trial:
            trial.apply(LONGER)
            getattr(trial, end)()

    host.stumble = ask_to_end
    with pytest.raises(Interrupted):
        tune()
    assert host.now == FOUND


def test_a_signal_that_comes_too_late_reaches_who_waits_for_signals_outside(
    host: StumblingHost,
) -> None:
    with interrupts() as outside:
        with state.held(host) as held, transaction(held, "test") as trial:
            trial.apply(LONGER)
            trial.confirm()
            os.kill(os.getpid(), signal.SIGTERM)
        assert host.now == LONGER
        with pytest.raises(Interrupted):
            outside.check()


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
