"""On a real host: a tuner that is interrupted or killed leaves it as it was found."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from expiry import expire

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from tuner import state as state_module
from tuner.settings import read
from tuner.transaction import transaction

pytestmark = pytest.mark.lab

NAME = f"live{os.getpid() % 10**7}"
URI = f"lab:{NAME}"
SETTING = {
    "placement": {"relay1": [0], "relay2": [0]},
    "tx_queue": {"vif1": 64, "vif2": 64},
    "bridge": "lean",
}


@pytest.fixture(scope="module")
def lab() -> Iterator[manage.LabStatus]:
    made = manage.up(LabConfig(name=NAME))
    try:
        while not re.search(r"br0: .* state UP ", "".join(readings(made))):
            pass  # the kernel tells of a new bridge's state up to a second late
        yield made
    finally:
        manage.down(NAME)


@pytest.fixture
def setting(tmp_path: Path) -> str:
    path = tmp_path / "setting.json"
    path.write_text(json.dumps(SETTING))
    return str(path)


def tuner(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def answer(*words: str) -> dict[str, object]:
    out, err = (process := tuner(*words)).communicate()
    assert process.returncode == 0, err
    found: dict[str, object] = json.loads(out)
    return found


def readings(lab: manage.LabStatus) -> tuple[str, ...]:
    """The knobs as the system's own tools see them, without any code of ours."""
    record = json.loads((Path(lab.state_dir) / "lab.json").read_text())
    inside = ("nsenter", "-t", str(record["supervisor"]["pid"]), "-n", "--")
    commands = [
        *(("taskset", "-a", "-c", "-p", str(p["pid"])) for p in record["processes"].values()),
        (*inside, "ip", "-d", "link", "show"),
        (*inside, "bridge", "-d", "link", "show"),
        (*inside, "tc", "qdisc", "show"),
        (*inside, "tc", "filter", "show", "dev", "vif1", "ingress"),
    ]
    outputs = [subprocess.run(c, capture_output=True, text=True, check=False) for c in commands]
    return tuple(re.sub(r"\w+_timer +[\d.]+", "", done.stdout) for done in outputs)


def journal(lab: manage.LabStatus) -> str:
    path = Path(lab.state_dir) / "journal.jsonl"
    return path.read_text() if path.exists() else ""


def put_back(lab: manage.LabStatus, as_found: tuple[str, ...]) -> dict[str, object]:
    """What the status says once the host's own watchdog has put it back, and written that down.

    The lease is made to run out, again and again: a last heartbeat of the tuner may be under way.
    """
    while readings(lab) != as_found:
        expire(Path(lab.state_dir))
    while (status := answer("status", "--host", URI, "--json"))["state"] in ("reverting", "held"):
        pass
    return status


def watchdog(lab: manage.LabStatus) -> int:
    """The process on the host that holds its lock."""
    lock = Path(lab.state_dir) / "lock"
    while len(words := lock.read_text().split()) < 2:
        time.sleep(0.01)  # just being written
    return int(words[1])


@contextmanager
def applying(lab: manage.LabStatus, setting: str, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """An apply that has got as far as trying its setting on the host; it ends with the block."""
    before = journal(lab).count('"applying"')
    as_found = readings(lab)
    words = ("apply", "--host", URI, "--setting", setting, "--pairs", "100", "--seconds", "0.3")
    process = tuner(*words, *more)
    try:
        while journal(lab).count('"applying"') == before or readings(lab) == as_found:
            assert process.poll() is None, process.communicate()[1]
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_apply_leaves_the_host_as_found(
    lab: manage.LabStatus, setting: str, number: int
) -> None:
    """As a terminal does on Ctrl-C, the signal also goes to the commands that are just running."""
    as_found = readings(lab)
    with applying(lab, setting) as process:
        os.killpg(process.pid, number)
        out, err = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert out == ""
    assert readings(lab) == as_found
    assert answer("status", "--host", URI, "--json")["state"] == "untouched"


def test_a_host_whose_tuner_is_killed_puts_itself_back(lab: manage.LabStatus, setting: str) -> None:
    as_found = readings(lab)
    with applying(lab, setting) as process:
        process.kill()
    status = put_back(lab, as_found)
    assert (status["state"], status["edited"]) == ("reverted", [])
    plan = answer("plan", "--host", URI, "--setting", setting, "--seconds", "0.1", "--json")
    assert plan["changes"]
    assert answer("status", "--host", URI, "--json")["state"] == "untouched"


def test_a_watchdog_that_is_killed_is_replaced_and_the_tuning_goes_on(
    lab: manage.LabStatus, setting: str
) -> None:
    as_found = readings(lab)
    with applying(lab, setting) as process:
        killed = watchdog(lab)
        os.kill(killed, signal.SIGKILL)
        while watchdog(lab) == killed:
            assert process.poll() is None, process.communicate()[1]
    assert readings(lab) == as_found


def test_a_person_s_edit_ends_the_tuning_and_stays(lab: manage.LabStatus, setting: str) -> None:
    as_found = readings(lab)
    record = json.loads((Path(lab.state_dir) / "lab.json").read_text())
    inside = ("nsenter", "-t", str(record["supervisor"]["pid"]), "-n", "--")
    before = journal(lab).count('"applied"')
    edit = (*inside, "ip", "link", "set", "dev", "vif2", "txqueuelen")
    with applying(lab, setting, "--seconds", "3") as process:
        while journal(lab).count('"applied"') == before:
            assert process.poll() is None, process.communicate()[1]
        subprocess.run((*edit, "777"), check=True)
        _, err = process.communicate()
    assert process.returncode == 4
    assert "changed the host while it was tuned, so this gives up: tx_queue vif2" in err
    assert readings(lab) != as_found
    subprocess.run((*edit, "1000"), check=True)
    assert readings(lab) == as_found


def test_what_is_held_waits_for_a_person(lab: manage.LabStatus, setting: str) -> None:
    as_found = readings(lab)
    for command, state in (("rollback", "untouched"), ("confirm", "confirmed")):
        host = LabHost.open(NAME)
        target = read(Path(setting)).over(host.settings())
        with state_module.held(host) as held, transaction(held, "test") as trial:
            trial.apply(target)
            trial.hold("by a test")
        assert answer("status", "--host", URI, "--json")["state"] == "held"
        _, err = tuner("plan", "--host", URI, "--setting", setting).communicate()
        assert "held by the person who is to confirm it" in err
        summary = str(answer(command, "--host", URI, "--json").get("summary"))
        assert (summary == "undid what waited for a confirmation") == (command == "rollback")
        assert (readings(lab) == as_found) == (command == "rollback")
        assert answer("status", "--host", URI, "--json")["state"] == state
    answer("rollback", "--host", URI, "--json")
    assert readings(lab) == as_found


def test_what_is_held_and_not_confirmed_goes_back(lab: manage.LabStatus, setting: str) -> None:
    as_found = readings(lab)
    host = LabHost.open(NAME)
    target = read(Path(setting)).over(host.settings())
    with state_module.held(host) as held, transaction(held, "test") as trial:
        trial.apply(target)
        trial.hold("by a test")
    assert put_back(lab, as_found)["state"] == "reverted"
    _, err = (late := tuner("confirm", "--host", URI)).communicate()
    assert late.returncode == 4
    assert "put itself back" in err
    answer("rollback", "--host", URI, "--json")


def test_a_killed_apply_is_told_of_and_undone_by_rollback(
    lab: manage.LabStatus, setting: str
) -> None:
    as_found = readings(lab)
    with applying(lab, setting) as process:
        process.kill()
    assert answer("status", "--host", URI, "--json")["state"] == "reverting"
    summary = answer("rollback", "--host", URI, "--json")["summary"]
    assert summary == "undid what a tuner that is gone had left"
    assert readings(lab) == as_found
    assert answer("status", "--host", URI, "--json")["state"] == "untouched"


def test_a_killed_apply_is_undone_by_the_next_plan(lab: manage.LabStatus, setting: str) -> None:
    as_found = readings(lab)
    with applying(lab, setting) as process:
        process.kill()
    plan = answer("plan", "--host", URI, "--setting", setting, "--seconds", "0.1", "--json")
    assert plan["changes"]
    assert readings(lab) == as_found


def test_a_second_tuner_is_told_who_holds_the_host(lab: manage.LabStatus, setting: str) -> None:
    with applying(lab, setting) as process:
        second = tuner("rollback", "--host", URI)
        _, err = second.communicate()
        assert second.returncode == 7
        assert f"process {process.pid}" in err
        assert answer("status", "--host", URI, "--json")["state"] == "busy"


def test_the_script_of_a_plan_does_and_undoes_it(
    lab: manage.LabStatus, setting: str, tmp_path: Path
) -> None:
    as_found = readings(lab)
    words = ("plan", "--host", URI, "--setting", setting, "--seconds", "0.1", "--script")
    script, err = tuner(*words).communicate()
    assert script, err
    path = tmp_path / "plan.sh"
    path.write_text(script)

    def run(*words: str) -> int:
        return subprocess.run(
            ["sh", str(path), *words], check=False, capture_output=True
        ).returncode

    assert (run(), run("nonsense")) == (2, 2)
    assert readings(lab) == as_found
    assert run("apply") == 0
    applied = readings(lab)
    assert all(word in "".join(applied) for word in ("list: 0\n", "qlen 64\n", " flood off"))
    assert run("undo") == 0
    assert readings(lab) == as_found


def test_what_is_confirmed_stays_until_it_is_rolled_back(
    lab: manage.LabStatus, setting: str
) -> None:
    as_found = readings(lab)
    host = LabHost.open(NAME)
    target = read(Path(setting)).over(host.settings())
    with state_module.held(host) as held, transaction(held, "test") as trial:
        trial.apply(target)
        trial.confirm("by a test")
    assert host.settings() == target
    assert answer("status", "--host", URI, "--json")["state"] == "confirmed"
    host.apply(msgspec.structs.replace(target, bridge="stock"))
    assert answer("status", "--host", URI, "--json")["state"] == "changed"
    host.apply(target)
    answer("rollback", "--host", URI, "--json")
    assert readings(lab) == as_found
