"""Many real hosts: two labs, the first tuned alone, the second only if that went well."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig

pytestmark = pytest.mark.lab

NAMES = tuple(f"{which}{os.getpid() % 10**7}" for which in ("canary", "later"))
CANARY, LATER = (f"lab:{name}" for name in NAMES)


@pytest.fixture
def labs() -> Iterator[dict[str, manage.LabStatus]]:
    """Both labs; for each an administrator has made the queues short."""
    made: dict[str, manage.LabStatus] = {}
    try:
        for name in NAMES:
            made[f"lab:{name}"] = manage.up(LabConfig(name=name, guests=1, tx_queue=1))
        yield made
    finally:
        for name in NAMES[: len(made)]:
            manage.down(name)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    setting = tmp_path / "setting.json"
    setting.write_text('{"tx_queue": {"vif1": 500}}')
    words = ["--setting", str(setting), "--pairs", "3", "--seconds", "0.3", "--json"]
    return [
        *(sys.executable, "-m", "tuner.cli", "apply", "--host", CANARY, "--host", LATER),
        *words,
    ]


def record(lab: manage.LabStatus) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(lab.state_dir) / "lab.json").read_text())
    return found


def queue(lab: manage.LabStatus) -> str:
    """What ip says of the length of the vif's queue."""
    inside = ("nsenter", "-t", str(record(lab)["supervisor"]["pid"]), "-n", "--")
    command = [*inside, "ip", "link", "show", "dev", "vif1"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shown.partition("qlen ")[2].split()[0]


def journal(lab: manage.LabStatus) -> list[str]:
    path = Path(lab.state_dir) / "journal.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def times(lab: manage.LabStatus) -> list[str]:
    return [re.findall(r'"time":"([^"]+)"', line)[0] for line in journal(lab)]


def test_the_first_host_is_tuned_alone_and_then_the_second(
    labs: dict[str, manage.LabStatus], command: list[str]
) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in json.loads(done.stdout)["hosts"]:
        assert queue(labs[line["host"]]) == {"kept": "500", "left as found": "1"}[line["outcome"]]
    assert times(labs[CANARY])
    assert max(times(labs[CANARY])) < min(times(labs[LATER]))


def test_where_the_first_host_breaks_the_second_is_never_touched(
    labs: dict[str, manage.LabStatus], command: list[str]
) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tuning:
        while '"applying"' not in "".join(journal(labs[CANARY])):
            assert tuning.poll() is None
        os.kill(record(labs[CANARY])["processes"]["relay1"]["pid"], signal.SIGKILL)
        out, err = tuning.communicate()
    assert tuning.returncode == 4, err
    first, second = json.loads(out)["hosts"]
    assert (first["outcome"], second["outcome"]) == ("failed", "not begun")
    assert queue(labs[CANARY]) == queue(labs[LATER]) == "1"
    assert not journal(labs[LATER])
    assert not (Path(labs[LATER].state_dir) / "lock").exists()
