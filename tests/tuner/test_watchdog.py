"""The watchdog of a host: it holds the lock, and undoes when the tuner falls silent.

No test here measures time: they wait for states, and a lease that is to run out is made to.
"""

import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from expiry import expire
from watching import HERE, pid, put_back, stopped, wait, watchdog

from envs.errors import HostBusy
from tuner.watchdog import Reverted, Watchdog, is_gone, look, me


def test_the_lock_is_one_that_other_tools_see(folder: Path, dog: Watchdog) -> None:
    taken = subprocess.run(["flock", "-n", str(folder / "lock"), "true"], check=False)
    assert taken.returncode == 1
    dog.release()
    wait(
        lambda: (
            subprocess.run(["flock", "-n", folder / "lock", "true"], check=False).returncode == 0
        )
    )


def test_a_second_one_is_told_who_holds_the_host(folder: Path, dog: Watchdog) -> None:
    with pytest.raises(HostBusy, match=f"process {os.getpid()} on"):
        Watchdog(HERE, folder, 100).start()


def test_once_released_another_may_have_it_at_once(folder: Path, dog: Watchdog) -> None:
    for _ in range(3):
        dog.release()
        dog.start()


def test_silence_undoes_and_says_so(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        expire(folder)
        wait(lambda: look(HERE, folder).reverted is not None)
        assert knob.read_text() == "found\n"
        with pytest.raises(Reverted):
            dog.renew()
    assert "no-such-program" in (folder / "undo.log").read_text()


def test_it_undoes_where_it_cannot_write_what_was_said(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        (folder / "undo.log").unlink()
        (folder / "undo.log").mkdir()
        expire(folder)
        wait(lambda: not look(HERE, folder).token)
    assert knob.read_text() == "found\n"


def test_new_orders_take_the_place_of_those_before(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm([("sh", "-c", 'echo wrong >"$1"', "sh", str(knob))])
        dog.arm(put_back(knob), instead=True)
        expire(folder)
        wait(lambda: look(HERE, folder).reverted is not None)
        assert knob.read_text() == "found\n"
        with pytest.raises(Reverted):
            dog.arm([], instead=True)


def test_orders_are_given_to_a_new_watchdog_where_one_was_killed(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm([])
        os.kill(pid(folder), signal.SIGKILL)
        wait(lambda: not look(HERE, folder).token)
        dog.arm(put_back(knob), instead=True)
        expire(folder)
        wait(lambda: look(HERE, folder).reverted is not None)
    assert knob.read_text() == "found\n"


def test_while_it_is_renewed_nothing_is_undone(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        first = (folder / "lease").read_text()
        for _ in range(20):
            dog.renew()
        assert (folder / "lease").read_text() != first
        assert look(HERE, folder).armed
        assert knob.read_text() == "changed\n"


def test_without_an_order_silence_only_lets_go_of_the_lock(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000):
        expire(folder)
        wait(lambda: not look(HERE, folder).token)
    assert knob.read_text() == "changed\n"


def test_a_watchdog_that_was_killed_is_noticed_and_started_again(folder: Path, knob: Path) -> None:
    with watchdog(folder, 100) as dog:
        dog.arm(put_back(knob))
        first = pid(folder)
        os.kill(first, signal.SIGKILL)
        wait(lambda: not Path(f"/proc/{first}").exists())
        dog.renew()
        found = look(HERE, folder)
        assert found.armed
        assert found.token == dog.token
        assert pid(folder) != first


def test_a_host_that_another_tuner_took_meanwhile_is_left_to_it(folder: Path) -> None:
    with watchdog(folder, 100) as dog:
        os.kill(pid(folder), signal.SIGKILL)
        wait(lambda: not look(HERE, folder).token)
        with watchdog(folder, 100), pytest.raises(HostBusy):
            dog.renew()


def test_who_removes_the_lock_ends_the_trial(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        (folder / "lock").unlink()
        wait(lambda: look(HERE, folder).reverted is not None)
        assert knob.read_text() == "found\n"
        with pytest.raises(Reverted):
            dog.renew()


def test_a_lock_that_is_removed_is_taken_again_by_a_tuner_that_lives(
    folder: Path, knob: Path
) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        with stopped(first := pid(folder)):  # so that it looks only afterwards
            (folder / "lock").unlink()
            dog.renew()
        wait(lambda: not Path(f"/proc/{first}").exists())
        assert look(HERE, folder).armed
        assert knob.read_text() == "changed\n"


def test_who_takes_a_host_whose_lock_was_removed_is_left_alone(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        with ExitStack() as stack:
            with stopped(first := pid(folder)):  # so that it looks only afterwards
                (folder / "lock").unlink()
                stack.enter_context(watchdog(folder, 1000))
            wait(lambda: not Path(f"/proc/{first}").exists())
            assert knob.read_text() == "changed\n"  # for the other to undo, as it was told
            with pytest.raises(HostBusy):
                dog.renew()


def test_releasing_leaves_what_is_to_be_undone_to_the_watchdog(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        dog.release()
        expire(folder)
        wait(lambda: knob.read_text() == "found\n")


def test_what_a_watchdog_was_killed_in_the_middle_of_is_done_by_the_next(
    folder: Path, knob: Path, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    hangs = ("sh", "-c", f"touch {begun}; while [ ! -e {go} ]; do sleep 0.1; done")
    with watchdog(folder, 1000) as dog:
        dog.arm([hangs, *put_back(knob)])
        expire(folder)
        wait(begun.exists)
        os.kill(pid(folder), signal.SIGKILL)
        go.touch()
        wait(lambda: not look(HERE, folder).token)
        dog.renew()
        assert look(HERE, folder).armed
        expire(folder)
        wait(lambda: look(HERE, folder).reverted is not None)
    assert knob.read_text() == "found\n"


def test_without_its_folder_it_ends(folder: Path, dog: Watchdog) -> None:
    number = pid(folder)
    for file in folder.iterdir():
        file.unlink()
    wait(lambda: not Path(f"/proc/{number}").exists())
    with pytest.raises(Reverted):  # as far as anyone can tell
        dog.arm([], instead=True)


def test_who_we_are_is_not_gone_and_an_ended_process_is() -> None:
    assert not is_gone(me())
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone(me().replace(str(os.getpid()), str(ended.pid)))
    elsewhere = me().replace(str(os.getpid()), str(ended.pid)).split()
    elsewhere[3] = elsewhere[3].rpartition("/")[0] + "/1"  # a container on the same machine
    assert not is_gone(" ".join(elsewhere))
    assert not is_gone(f"process {ended.pid} on another/machine since ever")
    assert not is_gone("a person")


RUBBISH = ["", "x\n", "1 2 3\n", "1 x\n", "\0\n", "999999999999999999999 9\n", "99999999999 9\n"]


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_lease_that_cannot_be_read_has_run_out(folder: Path, knob: Path, rubbish: str) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        (folder / "lease").write_text(rubbish)
        wait(lambda: look(HERE, folder).reverted is not None)
    assert knob.read_text() == "found\n"


def test_a_lease_that_is_gone_has_run_out(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        (folder / "lease").unlink()
        wait(lambda: look(HERE, folder).reverted is not None)
    assert knob.read_text() == "found\n"


def test_the_lock_never_loses_its_holder_while_another_is_written(
    folder: Path, dog: Watchdog
) -> None:
    """It is written in place: a reader that opened it before sees one holder or the other."""
    dog.arm([])
    with (folder / "lock").open() as opened:
        dog.leave_to("somebody", 1000)
        dog.leave_to("sb", 1000)
        assert opened.readline().split(maxsplit=2)[2] == "sb\n"
    assert look(HERE, folder).holder == "sb"


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_whatever_its_files_hold_a_look_finds_something_out(folder: Path, rubbish: str) -> None:
    with watchdog(folder, 100):
        for name in ("lock", "lease"):
            (folder / name).write_text(rubbish)
        look(HERE, folder)
        number = subprocess.run(
            ["pgrep", "-f", f"guard {folder}"], capture_output=True, text=True, check=False
        ).stdout
        for found in number.split():
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(int(found), signal.SIGKILL)
