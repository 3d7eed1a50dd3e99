"""Bulk flows over loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import loopback
import pytest

from envs.hosts.lab import busy, traffic

SCRIPT = Path(traffic.__file__)


@contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-IS", str(SCRIPT), *words]) as process:
        try:
            yield process
        finally:
            process.kill()


def _receive(sock: socket.socket, size: int) -> None:
    while size > 0:
        got = len(sock.recv(1 << 16))
        assert got
        size -= got


def _connection(port: int) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("kind", ["guest", "outside"])
def test_a_flow_is_endless_and_begins_again_when_it_breaks(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, loopback.port() as port:
        server.settimeout(20)
        to = f"127.0.0.1:{server.getsockname()[1]}"
        with _process(kind, f"127.0.0.1:{port}", to):
            for _ in range(2):
                sock, _ = server.accept()
                with sock:
                    _receive(sock, 10 * traffic.SIZE)


@pytest.mark.parametrize("kind", ["guest", "outside"])
def test_whatever_arrives_is_received(kind: str) -> None:
    with (
        loopback.port() as port,
        _process(kind, f"127.0.0.1:{port}"),
        _connection(port) as sock,
    ):
        sock.sendall(bytes(64 * traffic.SIZE))  # more than buffers hold


def test_an_address_is_a_host_and_a_port() -> None:
    assert traffic.address("10.0.0.1:5000") == ("10.0.0.1", 5000)


def test_a_neighbour_counts_its_work_where_others_can_read_it(tmp_path: Path) -> None:
    counter = tmp_path / "n1.work"
    with subprocess.Popen([sys.executable, "-IS", busy.__file__, str(counter)]) as process:
        try:
            while not counter.exists() or not counter.read_text() > "0" * busy.WIDTH + "\n":
                time.sleep(0.01)
            text = counter.read_text()
            assert len(text) == busy.WIDTH + 1
            assert text.strip().isdigit()
        finally:
            process.kill()
