"""A relay over socket pairs, which keep frames apart as taps do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envs.hosts.lab import relay

SCRIPT = Path(relay.__file__)


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    ours.settimeout(20)
    return ours, theirs


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Bench:
    """Two vifs and their guests, the orders of two relays, and what these report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bridge, self.guest, self.ends = [], [], []
        for _ in range(2):
            near, far = _pair(), _pair()
            self.bridge.append(near[0])
            self.guest.append(far[0])
            self.ends.append((near[1], far[1]))

    def order(self, **duties: tuple[list[str], bool]) -> None:
        relays = {name: {"vifs": vifs, "poll": poll} for name, (vifs, poll) in duties.items()}
        (self.folder / "new").write_text(json.dumps({"relays": relays}))
        (self.folder / "new").replace(self.folder / "duties")

    def report(self, name: str) -> dict[str, object] | None:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    @contextmanager
    def relay(self, name: str) -> Iterator[int]:
        taps = [f"vif{n + 1}={a.fileno()}:{b.fileno()}" for n, (a, b) in enumerate(self.ends)]
        words = [name, str(self.folder / "duties"), str(self.folder / name), *taps]
        descriptors = [end.fileno() for pair in self.ends for end in pair]
        with subprocess.Popen(
            [sys.executable, "-IS", str(SCRIPT), *words], pass_fds=descriptors
        ) as process:
            try:
                yield process.pid
            finally:
                process.kill()

    def close(self) -> None:
        for sock in (*self.bridge, *self.guest, *(end for pair in self.ends for end in pair)):
            sock.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("poll", [False, True], ids=["sleeping", "polling"])
def test_frames_go_both_ways_whole_and_in_order(bench: Bench, poll: bool) -> None:
    bench.order(relay1=(["vif1", "vif2"], poll))
    with bench.relay("relay1"):
        for number, (bridge, guest) in enumerate(zip(bench.bridge, bench.guest, strict=True)):
            frames = [bytes([number]) * size for size in (60, 1500, 65000, 61)]
            for frame in frames:
                bridge.send(frame)
                assert guest.recv(70000) == frame
                guest.send(frame)
                assert bridge.recv(70000) == frame


def test_it_reports_what_it_does(bench: Bench) -> None:
    bench.order(relay1=(["vif1"], True), relay2=([], True))
    with bench.relay("relay1"), bench.relay("relay2"):
        _until(lambda: bench.report("relay1") == {"vifs": ["vif1"], "poll": True})
        _until(lambda: bench.report("relay2") == {"vifs": [], "poll": False})


def test_a_vif_moves_between_relays_without_losing_a_frame(bench: Bench) -> None:
    bench.order(relay1=(["vif1"], False), relay2=(["vif2"], False))
    with bench.relay("relay1") as one, bench.relay("relay2") as two:
        _until(lambda: None not in (bench.report("relay1"), bench.report("relay2")))
        for poll in (True, False, True):
            bench.order(relay1=([], False), relay2=(["vif1", "vif2"], poll))
            bench.bridge[0].send(b"between")
            os.kill(one, signal.SIGHUP)
            os.kill(two, signal.SIGHUP)
            _until(
                lambda poll=poll: bench.report("relay2") == {"vifs": ["vif1", "vif2"], "poll": poll}
            )
            _until(lambda: bench.report("relay1") == {"vifs": [], "poll": False})
            assert bench.guest[0].recv(100) == b"between"
            bench.guest[0].send(b"after")
            assert bench.bridge[0].recv(100) == b"after"


def test_a_batch_is_bounded_so_that_every_direction_has_its_turn() -> None:
    (ours, source), (sink, theirs) = _pair(), _pair()
    frame = bytearray(relay.FRAME)
    with ours, source, sink, theirs:
        for _ in range(relay.BATCH + 3):
            ours.send(b"x")
        ways = [(source.fileno(), theirs.fileno())]
        assert relay.move(ways, frame, memoryview(frame)) == relay.BATCH
        assert relay.move(ways, frame, memoryview(frame)) == 3
        assert relay.move(ways, frame, memoryview(frame)) == 0
