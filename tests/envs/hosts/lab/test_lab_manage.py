"""Labs come, stand side by side, break, and go without a trace."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envs.errors import HostError, InputError
from envs.hosts import cgroup
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost

pytestmark = pytest.mark.lab

NAME = f"t{os.getpid() % 10**7}"
OTHER = f"u{os.getpid() % 10**7}"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ours() -> list[str]:
    """Processes with the marker of a lab of this test, and what else one could leave."""
    left = []
    for entry in Path("/proc").iterdir():
        try:
            marked = record.MARKER.encode() in (entry / "environ").read_bytes()
            here = NAME.encode() in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if marked and here:
            left.append(entry.name)
    controller = cgroup.detect()
    if controller is not None:
        left += [str(p) for n in (NAME, OTHER) for p in Path(controller.root).glob(f"*{n}*")]
    left += [str(p) for n in (NAME, OTHER) for p in record.root().glob(f"*{n}*")]
    return left


def _machine() -> tuple[str, str]:
    """The namespaces that have names, and the interfaces of this one."""
    shown = [
        subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout
        for words in (["netns"], ["-br", "link"])
    ]
    return shown[0], shown[1]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = _machine()
    yield
    for name in (NAME, OTHER):
        if record.directory(name).exists():
            manage.down(name)
    _until(lambda: _ours() == [])
    _until(lambda: _machine() == before)


def test_a_lab_comes_up_with_traffic_and_goes_without_a_trace() -> None:
    status = manage.up(LabConfig(name=NAME, neighbours=1))
    assert status.up
    assert status.missing == ()
    assert manage.status(NAME) == (status,)
    assert status in manage.status()
    manage.down(NAME)
    assert _ours() == []
    with pytest.raises(HostError, match="tuner lab up"):
        manage.status(NAME)
    with pytest.raises(HostError, match="tuner lab up"):
        LabHost.open(NAME)


def test_two_labs_stand_side_by_side() -> None:
    manage.up(LabConfig(name=NAME, guests=1))
    manage.up(LabConfig(name=OTHER, guests=1))
    one, two = LabHost.open(NAME), LabHost.open(OTHER)
    before = two.snapshot()
    settings = one.settings()
    one.apply(
        type(settings)(
            placement=settings.placement,
            weight=settings.weight,
            tx_queue={"vif1": 77},
            bridge="direct",
        )
    )
    assert two.snapshot() == before
    manage.down(NAME)
    assert manage.status(OTHER)[0].up
    assert two.snapshot() == before


def test_a_name_is_taken_once() -> None:
    manage.up(LabConfig(name=NAME, guests=1))
    with pytest.raises(HostError, match="is up already"):
        manage.up(LabConfig(name=NAME, guests=1))
    assert manage.status(NAME)[0].up


def test_a_configuration_that_cannot_be_makes_nothing() -> None:
    with pytest.raises(InputError):
        manage.up(LabConfig(name=NAME, guests=1, workload="intra"))
    assert _ours() == []


def test_the_queue_length_of_2008_is_a_lab_of_its_own() -> None:
    manage.up(LabConfig(name=NAME, guests=1, tx_queue=32))
    assert LabHost.open(NAME).settings().tx_queue == {"vif1": 32}


def test_all_of_a_lab_dies_with_its_supervisor_and_down_removes_the_rest() -> None:
    manage.up(LabConfig(name=NAME))
    lab = record.read(record.directory(NAME))
    os.kill(lab.supervisor.pid, signal.SIGKILL)
    everything = {"supervisor", *lab.processes}
    _until(lambda: set(manage.status(NAME)[0].missing) == everything)
    with pytest.raises(HostError, match="has ended"):
        LabHost.open(NAME)
    manage.down(NAME)


def test_a_dead_relay_is_told_and_not_controlled() -> None:
    manage.up(LabConfig(name=NAME))
    host = LabHost.open(NAME)
    os.kill(record.read(record.directory(NAME)).processes["relay1"].pid, signal.SIGKILL)
    _until(lambda: manage.status(NAME)[0].missing == ("relay1",))
    assert not manage.status(NAME)[0].up
    with pytest.raises(HostError, match="relay1"):
        host.settings()


@pytest.mark.parametrize("seen", [".", "lab.json", "log", "duties.json", "relay1.json"])
def test_down_cleans_up_after_an_up_that_was_killed_on_its_way(seen: str) -> None:
    script = (
        "from envs.hosts.lab import manage; from envs.hosts.lab.config import LabConfig;"
        f"manage.up(LabConfig(name={NAME!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        _until((record.directory(NAME) / seen).exists)
        process.kill()
    manage.down(NAME)
    _until(lambda: _ours() == [])  # a supervisor that was not yet one ends when it finds no record


@pytest.mark.parametrize("text", ['{"made_by": "another version"}', "{"])
def test_a_lab_of_another_version_can_still_be_taken_down(text: str) -> None:
    manage.up(LabConfig(name=NAME))
    record_file = record.directory(NAME) / "lab.json"
    record_file.write_text(text)
    for use in (manage.status, LabHost.open):
        with pytest.raises(HostError, match=f"run: tuner lab down {NAME}"):
            use(NAME)
    (told,) = [lab for lab in manage.status() if lab.name == NAME]
    assert f"run: tuner lab down {NAME}" in told.damaged
    manage.down(NAME)
    assert _ours() == []


def test_a_lab_without_a_record_can_still_be_taken_down() -> None:
    manage.up(LabConfig(name=NAME))
    shutil.rmtree(record.directory(NAME))
    manage.down(NAME)
    assert _ours() == []
    with pytest.raises(HostError, match="nothing of one is left"):
        manage.down(NAME)


@pytest.fixture
def left_over() -> Path:
    """A lab's cgroup of which nothing else is left."""
    manage.up(LabConfig(name=NAME, guests=1))
    lab = record.read(record.directory(NAME))
    manage.down(NAME)
    if lab.group is None:
        pytest.skip(lab.why_not)
    (lab.group / "driver").mkdir(parents=True)
    return lab.group


def test_a_cgroup_that_was_left_is_taken_away(left_over: Path) -> None:
    manage.down(NAME)
    assert not left_over.exists()


def test_a_cgroup_that_was_left_does_not_cost_the_next_lab_its_weights(left_over: Path) -> None:
    assert left_over.exists()
    manage.up(LabConfig(name=NAME, guests=1))
    assert LabHost.open(NAME).describe().limits.weights == ("driver", "g1")


def test_only_a_dead_lab_is_taken_down_unasked() -> None:
    manage.down_if_dead(NAME)
    manage.up(LabConfig(name=NAME, guests=1))
    manage.down_if_dead(NAME)
    assert manage.status(NAME)[0].up
    lab = record.read(record.directory(NAME))
    os.kill(lab.supervisor.pid, signal.SIGKILL)
    _until(lambda: set(manage.status(NAME)[0].missing) == {"supervisor", *lab.processes})
    manage.down_if_dead(NAME)
    assert not record.directory(NAME).exists()
    record.directory(NAME).mkdir()
    manage.down_if_dead(NAME)
    assert not record.directory(NAME).exists()


def test_an_ordinary_user_has_every_knob_but_weights(tmp_path: Path) -> None:
    """In a user namespace, with a /dev/net/tun that anyone may open, as most systems have it."""
    script = Path(__file__).with_name("as_user.py")
    become = script.with_suffix(".sh")
    done = subprocess.run(
        ["unshare", "-m", "sh", str(become), str(tmp_path), sys.executable, str(script), NAME],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BASE": sys.base_prefix, "TUN": "666"},
    )
    assert done.stdout.splitlines()[-1:] == ["all knobs but weights"], done.stderr


def test_who_may_not_open_the_tun_device_is_told_so(tmp_path: Path) -> None:
    script = Path(__file__).with_name("as_user.py")
    become = script.with_suffix(".sh")
    done = subprocess.run(
        ["unshare", "-m", "sh", str(become), str(tmp_path), sys.executable, str(script), NAME],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BASE": sys.base_prefix, "TUN": "600"},
    )
    assert "Unprivileged: /dev/net/tun may not be opened by this user" in done.stderr
