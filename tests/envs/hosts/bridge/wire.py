"""A real bridge in a network namespace of its own, with frames made and heard by hand.

Each port is one end of a veth pair; the other end stands for a guest, or for the network outside.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from envs.host import BridgeMode
from envs.hosts import bridge
from envs.hosts.bridge import BridgeFound, BridgeState, Plug
from envs.hosts.change import Command
from envs.hosts.lab import namespaces
from envs.hosts.transport import LocalTransport, printed, write_file

ALL = 3
"""ETH_P_ALL"""
PATIENCE = 60.0
MOMENT = 0.2
"""Seconds that a guest listens before it looks again whether it is to go on."""

HEADERS = {
    b"\x08\x00": bytes.fromhex("45000050000040004011269b0a0000010a000002"),  # UDP, 80 bytes in all
    b"\x86\xdd": bytes.fromhex("60000000003c1140" + "fd" + "00" * 14 + "01fd" + "00" * 14 + "02"),
}


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, true
        time.sleep(0.1)


class Wire:
    """The bridge br0 with ports v1, v2 …; what enters at v1 is sent from p1, as by a guest."""

    def __init__(self, ports: int) -> None:
        self._space = namespaces.new_network()
        self._transport = LocalTransport()
        self._ends: dict[int, socket.socket] = {}
        self.stock: BridgeState | None = None
        for switch in ("all", "default"):  # nobody speaks here but the tests
            off = "/proc/sys/net/ipv6/conf/" + switch + "/disable_ipv6"
            self.run(*write_file(off, "1"))
        self.run("ip", "link", "add", "name", "br0", "type", "bridge")
        self.run("ip", "link", "set", "dev", "br0", "up")
        for number in range(1, ports + 1):
            self.add(number)

    def close(self) -> None:
        """Take everything away, and see that nothing is left that would hold the namespace."""
        for end in self._ends.values():
            end.close()
        self._transport.run(self.prefixed(("ip", "link", "del", "dev", "br0")))
        until(lambda: self.processes() == ())
        os.close(self._space)

    def prefixed(self, command: Sequence[str]) -> Command:
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._space}", "--", *command)

    def run(self, *command: str) -> str:
        return printed(self._transport.run(self.prefixed(command), timeout=PATIENCE))

    def add(self, number: int) -> None:
        """Plug in another guest."""
        port, end = f"v{number}", f"p{number}"
        pair = ("type", "veth", "peer", "name", end)
        self.run("ip", "link", "add", "name", port, *pair)
        self.run("ip", "link", "set", "dev", end, "address", mac(number))
        self.run("ip", "link", "set", "dev", port, "master", "br0")
        for name in (port, end):
            self.run("ip", "link", "set", "dev", name, "up")
        with namespaces.inside(self._space):
            heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
            heard.bind((end, ALL))
        heard.settimeout(MOMENT)
        if number in self._ends:
            self._ends[number].close()
        self._ends[number] = heard
        until(lambda: f"{port}" not in self.found().others.still)

    def found(self, *, bypass_filters: bool = False) -> BridgeFound:
        asked = [self.prefixed(question) for question in bridge.questions("br0")]
        answers = self._transport.run_all(asked, timeout=PATIENCE)
        return bridge.found("br0", answers, bypass_filters=bypass_filters)

    def enter(self, mode: BridgeMode, guests: int = 2, outside: int | None = 3) -> None:
        """Put the bridge in a mode; guests 1 … are known, and an address outside."""
        plugs = [Plug(port=f"v{n}", mac=mac(n)) for n in range(1, guests + 1)]
        if outside is not None:
            plugs.append(Plug(port=f"v{outside}", mac=mac(outside), guest=False))
        now = self.found()
        self.stock = self.stock or now.state
        target = bridge.in_mode(mode, self.stock, plugs, now.others)
        self._to(now.state, target)
        assert bridge.mode_of(self.stock, self.found().state, plugs) == mode

    def leave(self) -> None:
        assert self.stock is not None
        self._to(self.found().state, self.stock)
        self.stock = None

    def _to(self, before: BridgeState, after: BridgeState) -> None:
        for command in bridge.commands("br0", before, after):
            self.run(*command)
        assert bridge.commands("br0", self.found().state, after) == ()

    def frame(self, source: int | str, target: int | str, head: bytes = b"\x08\x00") -> bytes:
        """A frame that is like no other; its IP header is right, for bridge netfilter looks."""
        ends = [mac(e) if isinstance(e, int) else e for e in (target, source)]
        addresses = b"".join(bytes.fromhex(end.replace(":", "")) for end in ends)
        return addresses + head + HEADERS.get(head[-2:], b"") + os.urandom(60)

    def send(self, number: int, frame: bytes) -> None:
        self._ends[number].send(frame)

    def heard(self, number: int, frame: bytes, *, seconds: float = PATIENCE) -> bool:
        """Whether a frame arrives at a guest; what a VLAN tag was taken from counts as the same."""
        arriving = self._arriving(number, seconds)
        return any(got[:12] == frame[:12] and got.endswith(frame[-60:]) for got in arriving)

    def count_until(self, number: int, frame: bytes, last: bytes) -> int:
        """How often a frame arrives at a guest before another does."""
        count = 0
        for got in self._arriving(number, PATIENCE):
            count += got.endswith(frame[-60:])
            if got.endswith(last[-60:]):
                return count
        raise AssertionError(f"the last frame does not arrive at {number}")

    def _arriving(self, number: int, seconds: float) -> Iterator[bytes]:
        """The frames that arrive at a guest in so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(TimeoutError):
                yield self._ends[number].recv(2048)

    def reaches(self, here: int, there: int, source: int | str, target: int | str) -> None:
        """Frames from one guest come to another, at the latest after a while."""

        def arrives() -> bool:
            frame = self.frame(source, target)
            self.send(here, frame)
            return self.heard(there, frame, seconds=MOMENT)

        until(arrives)

    def processes(self) -> tuple[int, ...]:
        """The processes in this network namespace."""
        here = os.fstat(self._space).st_ino
        return tuple(pid for pid in _pids() if _inode(pid) == here)

    def watcher(self) -> int:
        """The first process of the watcher, which leads a group; its helpers come and go."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                if os.getpgid(pid) == pid:
                    return pid
        raise AssertionError("no watcher runs")

    def redirected(self, port: str) -> int:
        """Packets that left by a redirect of a port."""
        shown = self.run("tc", "-s", "filter", "show", "dev", port, "ingress")
        return sum(int(line.split()[3]) for line in shown.splitlines() if "Sent" in line)

    def redirects(self, port: int) -> int:
        return sum(redirect.port == f"v{port}" for redirect in self.found().state.redirects)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _inode(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


@contextmanager
def wire(ports: int = 3) -> Iterator[Wire]:
    made = Wire(ports)
    try:
        yield made
    finally:
        made.close()
