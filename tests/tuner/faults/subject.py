"""A host to throw faults at: how to reach it, what can happen to it, how others see it."""

import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from traffic import Traffic

from envs.host import Record, Settings
from envs.hosts.transport import Transport
from tuner.state import LiveHost

EDIT = "777"
"""The TX queue length that the administrator sets."""
EDIT_READ = f'"txqlen":{EDIT}'
"""How a tuner reads it."""
EDIT_FOUND = rf'"event":"begun".*\\":{EDIT}\b'
"""How the journal tells that a host was found with it."""

_BY_ITSELF = r"[a-z]+_timer +[\d.]+|(ether|bridge_id|designated_root|designated_bridge) \S+"
"""What changes by itself in what ``ip`` tells: a bridge has the lowest address of its ports."""

Readings = tuple[str, ...]
"""The knobs as lines of other tools' output."""


def lines(printed: str) -> Readings:
    """What tools printed, without what changes by itself."""
    return tuple(re.sub(_BY_ITSELF, "", printed).splitlines())


class Mishap(Record, frozen=True):
    """Something that happens to a host: ``script`` is run there by a shell.

    ``vif`` is the vif whose traffic it stops itself, and ``touches`` a pattern of the readings
    that it changes itself. ``lasting`` tells that the host has to be made anew afterwards.
    """

    script: str
    vif: str = ""
    touches: str = ""
    lasting: bool = False


class Subject(ABC):
    """A host of the tests' own, with two guests.

    ``found`` and ``changed`` are its readings as found and under ``target``.
    """

    uri: str
    state: str
    """The folder of the tuner's state, on a small filesystem of its own."""
    vifs: tuple[str, str]
    addresses: tuple[str, str]
    confirm_within: int
    slack: float
    longest: float
    """All three as in ``limits``: to confirm, to be looked at, to end."""
    script: str
    """Prints the readings."""
    found: Readings
    changed: Readings
    target: Settings

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="viotune-faults-"))

    @abstractmethod
    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        """A command as it is run on the host, where its vifs are."""

    @abstractmethod
    def outside(self, argv: Sequence[str]) -> Sequence[str]:
        """A command as it is run where packets for the guests come from."""

    @abstractmethod
    def open(self, transport: Transport) -> LiveHost:
        """The host, reached by a transport."""

    @abstractmethod
    def transport(self) -> Transport:
        """A new connection to the host."""

    @abstractmethod
    def aim(self, found: Settings) -> Settings:
        """A setting that changes whatever can be changed."""

    @abstractmethod
    def mishaps(self) -> Mapping[str, Mishap]:
        """What can happen to this kind of host, beyond what can happen to any."""

    @abstractmethod
    def renew(self) -> None:
        """Make the host anew, after a lasting mishap."""

    @abstractmethod
    def down(self) -> None:
        """Take it away."""

    @abstractmethod
    @contextmanager
    def wire(self) -> Iterator["Wire"]:
        """A connection to the host by SSH, which can be cut and blocked."""

    def shell(self, script: str) -> str:
        """What a shell script printed on the host; it may fail."""
        done = subprocess.run(
            self.inside(("sh", "-c", script)), capture_output=True, text=True, check=False
        )
        return done.stdout

    def readings(self) -> Readings:
        """The knobs as the system's own tools see them, without any code of ours."""
        return lines(self.shell(self.script))

    def settle(self) -> None:
        """Wait until the kernel has told all of a new bridge, up to a second late."""
        found: Readings = ()
        while found != (found := self.readings()):
            time.sleep(1.1)
        self.found = found

    def traffic(self) -> Traffic:
        """Packets to both guests, and counts of them."""
        return Traffic(
            self.folder,
            vifs=self.vifs,
            inside=self.inside,
            addresses=self.addresses,
            outside=self.outside,
        )

    def edited(self, readings: Readings) -> Readings:
        """Readings with the administrator's edit in them."""
        vif = re.escape(self.vifs[1])
        return tuple(
            re.sub(r"qlen \d+", f"qlen {EDIT}", line) if re.search(rf"\b{vif}[:@]", line) else line
            for line in readings
        )

    def forget(self) -> None:
        """Remove what the tuner has kept on the host, as if it had never been there."""
        kept = "journal.jsonl lock lease undo undone undo.log closed watchdog.sh filler"
        self.shell(f"cd {self.state} && rm -f {kept}")

    def anywhere(self) -> Mapping[str, Mishap]:
        """What can happen to any host."""
        ours = f"read -r token pid rest <{self.state}/lock; grep -q watchdog.sh /proc/$pid/cmdline"
        return {
            "watchdog killed": Mishap(script=f"{ours} && kill -9 $pid"),
            "disk full": Mishap(script=f"cat /dev/zero >{self.state}/filler"),
            "edit by hand": Mishap(script=f"ip link set dev {self.vifs[1]} txqueuelen {EDIT}"),
        }


class Wire(ABC):
    """An SSH connection to a host."""

    @abstractmethod
    def connect(self) -> Transport:
        """Connect anew."""

    @abstractmethod
    def cut(self) -> None:
        """End all connections; new ones can be made."""

    @abstractmethod
    def block(self) -> None:
        """From now on nothing gets through, and nobody is told so."""

    @abstractmethod
    def unblock(self) -> None:
        """Let everything through again."""
