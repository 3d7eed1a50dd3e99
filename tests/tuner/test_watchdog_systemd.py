"""Where systemd runs, the watchdog is a unit of it: it outlives the session that started it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import own_systemd
import pytest
from expiry import expire
from own_systemd import Inside

from envs.hosts.transport import LocalTransport, Result, output, printed
from tuner.watchdog import Watchdog, look, take


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    if not Path(own_systemd.PROGRAM).exists():
        pytest.skip("systemd is not installed")
    with own_systemd.running(tmp_path_factory.mktemp("systemd")) as inside:
        yield inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def knob(tmp_path: Path) -> Path:
    path = tmp_path / "knob"
    path.write_text("changed\n")
    return path


def put_back(knob: Path) -> list[tuple[str, ...]]:
    return [("sh", "-c", 'echo found >"$1"', "sh", str(knob))]


def wait(until: Callable[[], object]) -> None:
    while not until():
        time.sleep(0.02)


class Session(LocalTransport):
    """Every command is a session: what it started and left ends with it, as logind may have it."""

    def __init__(self, inside: Inside, folder: Path) -> None:
        self._inside, self._folder, self._number = inside, folder, 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        self._number += 1
        out, given = (self._folder / f"{name}-{self._number}" for name in ("out", "in"))
        given.write_bytes(stdin)
        script = 'out=$1 given=$2; shift 2; "$@" <"$given" >"$out.new" 2>&1; mv "$out.new" "$out"'
        words = ("sh", "-c", script, "sh", str(out), str(given), *argv)
        literal = (word.replace("$", "$$") for word in words)  # systemd has variables of its own
        unit = ("systemd-run", "--quiet", "--collect", "--")
        printed(self._inside.run((*unit, *literal), timeout=timeout))
        wait(out.exists)
        return Result(argv=tuple(argv), rc=0, out=out.read_text())


def unit(inside: Inside, dog: Watchdog) -> dict[str, str]:
    """What systemd says of the watchdog."""
    shown = output(inside, ("systemctl", "show", f"viotune-{dog.token}.service"))
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def pid(folder: Path) -> str:
    while len(words := (folder / "lock").read_text().split()) < 2:
        time.sleep(0.02)  # just being written
    return words[1]


@pytest.mark.lab
def test_it_is_a_unit_that_goes_when_it_is_released(systemd: Inside, folder: Path) -> None:
    dog = Watchdog(systemd, folder, 100)
    dog.start()
    found = unit(systemd, dog)
    assert (found["ActiveState"], found["MainPID"]) == ("active", pid(folder))
    dog.renew()
    dog.release()
    wait(lambda: unit(systemd, dog)["LoadState"] == "not-found")


@pytest.mark.lab
def test_silence_undoes(systemd: Inside, folder: Path, knob: Path) -> None:
    dog = Watchdog(systemd, folder, 1000)
    dog.start()
    dog.arm(put_back(knob))
    expire(folder)
    wait(lambda: look(systemd, folder).reverted)
    assert knob.read_text() == "found\n"
    wait(lambda: unit(systemd, dog)["LoadState"] == "not-found")


@pytest.mark.lab
def test_one_that_is_killed_is_started_again_without_a_tuner(
    systemd: Inside, folder: Path, knob: Path
) -> None:
    dog = Watchdog(systemd, folder, 1000)
    dog.start()
    dog.arm(put_back(knob))
    first = pid(folder)
    output(systemd, ("kill", "-KILL", first))
    wait(lambda: pid(folder) != first)
    assert look(systemd, folder).token == dog.token
    expire(folder)
    wait(lambda: look(systemd, folder).reverted)
    assert knob.read_text() == "found\n"


@pytest.mark.lab
def test_what_it_starts_as_it_undoes_outlives_it(
    systemd: Inside, folder: Path, knob: Path, tmp_path: Path
) -> None:
    """Such as the watcher of a bridge that had been in a mode of ours before."""
    told = tmp_path / "told"
    start = 'setsid sleep 300 </dev/null >/dev/null 2>&1 & echo "$!" >"$1"'
    dog = Watchdog(systemd, folder, 1000)
    dog.start()
    dog.arm([("sh", "-c", start, "sh", str(told)), *put_back(knob)])
    expire(folder)
    wait(lambda: unit(systemd, dog)["ActiveState"] == "inactive")
    output(systemd, ("kill", told.read_text().strip()))  # it runs
    wait(lambda: unit(systemd, dog)["LoadState"] == "not-found")


@pytest.mark.lab
def test_it_outlives_the_session_of_its_tuner(
    systemd: Inside, folder: Path, knob: Path, tmp_path: Path
) -> None:
    dog = Watchdog(Session(systemd, tmp_path), folder, 1000)
    dog.start()
    dog.arm(put_back(knob))
    assert look(systemd, folder).token == dog.token
    expire(folder)
    wait(lambda: look(systemd, folder).reverted)
    assert knob.read_text() == "found\n"


def test_where_there_is_no_systemd_it_is_a_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of that name alone is not asked."""
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs here")
    program = tmp_path / "systemd-run"
    program.write_text('#!/bin/sh\ntouch "$(dirname "$0")/asked"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    here = LocalTransport()
    dog = Watchdog(here, folder, 100)
    dog.start()
    assert not (tmp_path / "asked").exists()
    take(here, folder, dog.token)


@pytest.mark.lab
@pytest.mark.parametrize("uri", ["qemu:///system", "xen+ssh://root@host:22", "lab:a-b"])
def test_the_unit_that_watches_takes_a_host_of_any_name(systemd: Inside, uri: str) -> None:
    escaped = output(systemd, ("systemd-escape", uri)).strip()
    show = ("systemctl", "show", f"viotune-watch@{escaped}.service", "--property")
    assert f"watch --host {uri} $OPTIONS ;" in output(systemd, (*show, "ExecStart"))
    assert output(systemd, (*show, "LoadState")) == "LoadState=loaded\n"
    assert output(systemd, (*show, "KillMode")) == "KillMode=mixed\n"
