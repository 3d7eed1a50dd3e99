"""A change undone: by a command, by the next tuner, by the watchdog; a person's edit stays."""

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from expiry import expire
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost
from trying import LEAN, LONGER, SHORTER, abandon, attempt, keep, killed_in, put_back_by_itself

from envs.errors import CommandFailed, HostError, InputError
from envs.hosts.transport import LocalTransport, Result
from tuner import state
from tuner.commands.confirm import confirm_held
from tuner.commands.status import examine
from tuner.journal import JOURNAL, Event, PutBack, Restored, decode
from tuner.transaction import transaction
from tuner.undo import recover, roll_back
from tuner.watchdog import SAID, Reverted, look


@pytest.fixture
def host(tmp_path: Path) -> StumblingHost:
    return StumblingHost(tmp_path)


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


def events(host: StumblingHost) -> tuple[Event, ...]:
    return decode((host.state_dir / JOURNAL).read_text(), "the journal")


def test_that_the_host_put_itself_back_is_told_by_the_next_tuner_with_what_its_commands_said(
    host: StumblingHost,
) -> None:
    abandon(host, LONGER)
    status = put_back_by_itself(host)
    (host.state_dir / "undo.log").write_text("no such vif\n1: ip link set vif9\n\x1b[31m\xff\n")
    with state.held(host) as held:
        did = recover(held)
    told, restored = events(host)[-2:]
    assert isinstance(told, PutBack)
    assert told.said == ("no such vif", "1: ip link set vif9", "?[31mÿ")
    assert f"the host put itself back {told.when}, and is as it was found" in status.summary
    assert isinstance(restored, Restored)
    assert did == restored.reason == f"the host had put itself back {told.when}"
    assert examine("fake:", host).state == "untouched"


def test_what_the_commands_of_a_watchdog_said_is_in_the_journal(host: StumblingHost) -> None:
    abandon(host, LONGER)
    put_back_by_itself(host)
    with state.held(host) as held:
        recover(held)
    (told,) = [event for event in events(host) if isinstance(event, PutBack)]
    assert any(line.startswith("0: ") for line in told.said)


def test_a_host_that_did_not_put_itself_back_is_not_said_to_have_done_so(
    host: StumblingHost,
) -> None:
    abandon(host, LONGER)
    with state.held(host) as held:
        assert recover(held) == "undid what a tuner that is gone had left"
    assert not any(isinstance(event, PutBack) for event in events(host))


def test_a_tuner_that_wakes_up_late_tells_that_the_host_has_put_itself_back(
    host: StumblingHost,
) -> None:
    def sleep(host: StumblingHost) -> None:
        expire(host.state_dir)
        while not look(host.transport, host.state_dir).put_back:
            pass

    host.before_measure = sleep
    with pytest.raises(Reverted):
        attempt(host, LONGER, LEAN)
    assert [type(event).__name__ for event in events(host)[-2:]] == ["PutBack", "Restored"]
    assert host.now == FOUND


@pytest.mark.parametrize(
    "spoil",
    ["rm $0", "ln -sf /dev/zero $0", "rm $0; mkfifo $0", "rm $0; mkdir $0", "yes | head -c 9M >$0"],
)
def test_whatever_the_log_of_a_watchdog_is_the_host_is_recovered(
    host: StumblingHost, spoil: str
) -> None:
    abandon(host, LONGER)
    put_back_by_itself(host)
    LocalTransport().run(("sh", "-c", spoil, str(host.state_dir / "undo.log")))
    with state.held(host) as held:
        assert recover(held)
    (told,) = [event for event in events(host) if isinstance(event, PutBack)]
    assert len(msgspec.json.encode(told)) < 5 * SAID


class Mute(LocalTransport):
    """Fails where it is asked what a watchdog has done."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        if "said" in argv:
            raise CommandFailed("no answer")
        return super().run(argv, stdin=stdin, timeout=timeout)


def test_a_host_is_recovered_where_nothing_can_be_told_of_its_watchdog(host: StumblingHost) -> None:
    abandon(host, LONGER)
    put_back_by_itself(host)
    host.transport = Mute()
    with state.held(host) as held:
        assert "the host had put itself back" in recover(held)
    assert examine("fake:", host).state == "untouched"


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


def test_an_edit_between_the_look_and_the_change_of_a_rollback_stays(host: StumblingHost) -> None:
    keep(host, LONGER)
    edited = replace(FOUND, tx_queue={**FOUND.tx_queue, "vif2": 777})

    def edit(moment: str) -> bool:
        if moment == "restore" and host.now == LONGER:
            host.now = replace(LONGER, tx_queue={**LONGER.tx_queue, "vif2": 777})
        return False

    host.stumble = edit
    with state.held(host) as held:
        assert roll_back(held) == ("tx_queue vif2",)
    assert host.now == edited


def test_what_was_edited_while_it_waited_for_a_confirmation_is_not_ours(
    host: StumblingHost,
) -> None:
    with state.held(host) as held, transaction(held, "test") as trial:
        trial.apply(LONGER)
        trial.hold()
    host.now = replace(LONGER, bridge="lean")
    assert confirm_held("lab:fake", host).edited == ("bridge",)
    assert examine("lab:fake", host).state == "changed"
    with state.held(host) as held:
        assert roll_back(held) == ("bridge",)
    assert host.now == LEAN


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


def test_a_rollback_that_stumbles_is_finished_by_the_next_command(host: StumblingHost) -> None:
    keep(host, LONGER)
    host.stumble = lambda moment: moment == "restore halfway"
    with state.held(host) as held, pytest.raises(HostError):
        roll_back(held)
    host.stumble = lambda _moment: False
    with state.held(host) as held:
        assert recover(held)
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
