"""The watchdog of a host: it holds the lock there and, should the tuner fall silent, undoes.

One shell process on the host (``watchdog.sh``, which says how) is both the lock and the revert
timer. It is started, renewed and ended through the host's transport, so it works alike here and
over SSH, and it needs neither us nor a network to put the host back. The tuner renews its lease
between steps, not from a thread beside them: a tuner that hangs is as silent as a dead one.
"""

import os
import secrets
import shlex
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from envs.errors import HostBusy, HostError, Unprivileged
from envs.host import Record
from envs.hosts.change import Command
from envs.hosts.transport import Result, Transport

CONFIRM_WITHIN = 120
"""Seconds after which a host that nobody confirmed is as it was found, by default."""
LEASE = 0.9
"""The share of that time after which the watchdog acts; the rest is for putting back."""

ITSELF = "its own watchdog, which is to put it back"
"""Who holds the lock of a host that its tuner has left without being able to put it back."""

SAID = 16_000
"""Bytes that are read of what the commands said by which a watchdog has put its host back."""

_SCRIPT = (resources.files("tuner") / "watchdog.sh").read_text()
_GONE, _REVERTED, _LACKING = 11, 12, 14


def lease(confirm_within: int) -> int:
    """Seconds of silence after which a watchdog acts, so that its host is back in time."""
    return max(1, int(confirm_within * LEASE))


class Gone(HostError):
    """The watchdog does not run any more."""


class Reverted(HostError):
    """The watchdog has put the host back: it had not heard from the tuner for too long."""


class Look(Record, frozen=True):
    """What there is of a watchdog on a host.

    ``token`` and ``holder`` are empty where nobody holds the lock. ``armed`` tells that there is
    something to undo, ``seconds_left`` how soon that is done, None where no lease runs.
    ``reverted`` is when a watchdog put the host back (seconds since the epoch, the host's clock),
    None where the last one had no need to.
    """

    token: str = ""
    holder: str = ""
    armed: bool = False
    seconds_left: float | None = None
    reverted: int | None = None

    @property
    def put_back(self) -> str:
        """When a watchdog put the host back, in ISO 8601; empty where the last one did not."""
        if self.reverted is None:
            return ""
        return datetime.fromtimestamp(self.reverted, UTC).isoformat("T", "seconds")


class Watchdog:
    """A watchdog that this process has started, and with it the lock of the host."""

    def __init__(self, transport: Transport, folder: Path, confirm_within: int) -> None:
        self.token = secrets.token_hex(8)
        self.armed = self._left = False
        self._transport, self._folder = transport, folder
        self._seconds = str(lease(confirm_within))

    def start(self) -> None:
        """Take the lock of the host.

        Raises HostBusy naming who holds it, Unprivileged where its folder may not be written.
        """
        done = self._do("start", self.token, self._seconds, me(), stdin=_SCRIPT.encode())
        if done.rc == _LACKING:
            raise HostError(f"the host lacks {done.out.strip()}: install it there")
        self._check(done)

    def arm(self, undo: Iterable[Command], *, instead: bool = False) -> None:
        """From now on silence has the host carry out ``undo``.

        ``instead`` of what it is to carry out so far: raises Reverted where it has done that.
        """
        lines = "".join(f"carry_out {shlex.join(command)}\n" for command in undo)
        words = (self.token, self._seconds, "must" if instead else "may")
        self._check(self._ask("arm", *words, stdin=lines.encode()))
        self.armed = True

    def renew(self) -> None:
        """Tell the watchdog that the tuner lives; start it again if it was killed.

        Raises Reverted where it has already put the host back, HostBusy where another tuner has
        taken the host meanwhile.
        """
        done = self._ask("beat", self.token, self._seconds)
        if self.armed or done.rc != _REVERTED:
            self._check(done)

    def leave_to(self, holder: str, seconds: int) -> None:
        """Go, and leave the lock and the armed watchdog for somebody else to confirm in time."""
        self._check(self._do("hold", self.token, str(lease(seconds)), holder))
        self._left = True

    def release(self) -> None:
        """Let go of the lock. What is still to be undone is left to the watchdog."""
        if self._left:
            return
        self._do("release", self.token, ITSELF)

    def _ask(self, verb: str, *words: str, stdin: bytes = b"") -> Result:
        """Do as ``_do``, by a new watchdog if this one was killed."""
        done = self._do(verb, *words, stdin=stdin)
        if done.rc != _GONE:
            return done
        self.start()
        return self._do(verb, *words, stdin=stdin)

    def _do(self, verb: str, *words: str, stdin: bytes = b"") -> Result:
        return on_host(self._transport, self._folder, verb, *words, stdin=stdin)

    def _check(self, done: Result) -> None:
        check(done, self._folder)


def look(transport: Transport, folder: Path) -> Look:
    """What there is of a watchdog, without touching it."""
    done = on_host(transport, folder, "look")
    check(done, folder)
    found = dict(line.split(" ", 1) for line in done.out.splitlines() if " " in line)
    token, holder = _holder(found.get("held", ""))
    return Look(
        token=token,
        holder=holder,
        armed=bool({"undo", "undoing", "closed"} & found.keys()),
        seconds_left=_left(found.get("lease", ""), found.get("uptime", "")) if token else None,
        reverted=_whole(found.get("undone", "")),
    )


def said(transport: Transport, folder: Path) -> tuple[str, ...]:
    """What the commands said that put the host back, line by line; ``…`` where that is not all.

    No more of it is read than fits into a journal, and nothing that is no plain file.
    """
    done = on_host(transport, folder, "said", str(SAID + 1))
    check(done, folder)
    lines = done.out[:SAID].splitlines()
    told = ("".join(c if c.isprintable() else "?" for c in line) for line in lines if line)
    return (*told, "…") if len(done.out) > SAID else tuple(told)


def take(transport: Transport, folder: Path, token: str) -> None:
    """End the watchdog of a tuner that is gone. Whoever takes the lock next has to undo."""
    check(on_host(transport, folder, "take", token), folder)


def on_host(
    transport: Transport, folder: Path, verb: str, *words: str, stdin: bytes = b""
) -> Result:
    """Run a verb of ``watchdog.sh`` on the host, if all of ``stdin`` arrives there."""
    argv = ("sh", "-c", _SCRIPT, "watchdog.sh", verb, str(folder), str(len(stdin)), *words)
    return transport.run(argv, stdin=stdin, timeout=20.0)


def check(done: Result, folder: Path) -> None:
    """Raise what a failed verb means."""
    complaint = (done.err or done.out).strip().partition("\n")[0]
    match done.rc:
        case 0:
            return
        case 10:
            holder = _holder(done.out.strip())[1] or "another tuner"
            raise HostBusy(f"the host is held by {holder}; see: tuner status")
        case 11:
            raise Gone("the watchdog on the host was killed")
        case 12:
            raise Reverted(
                "the host has put itself back: it had not heard from the tuner for too long"
            )
        case 13:
            raise HostError(f"cannot write into {folder} on the host: is its disk full?")
        case _ if "ermission denied" in complaint:
            raise Unprivileged(f"may not write {folder}: run as the owner of the host")
        case _:
            raise HostError(f"the watchdog on the host failed: {complaint or done.rc}")


def me() -> str:
    """Who we are, for whoever has to wait for us, and for ``is_gone``."""
    now = datetime.now(UTC).isoformat("T", "seconds")
    return f"process {os.getpid()} on {_machine()} since {now}"


def is_gone(holder: str) -> bool:
    """Whether no tuner is behind a holder any more. False where we cannot know: on another machine.

    One that was a process of this machine has gone when that has ended.
    """
    if holder == ITSELF:
        return True
    words = holder.split()
    if len(words) < 4 or words[0] != "process" or words[3] != _machine():
        return False
    return not words[1].isdigit() or not Path(f"/proc/{words[1]}").exists()


def _machine() -> str:
    """This machine since it was started, or a container in it: a pid means nothing elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        pids = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        boot = pids = "?"
    return f"{socket.gethostname()}/{boot}/{pids}".replace(" ", "_")


def _left(lease: str, uptime: str) -> float | None:
    """Seconds until a lease ends, None for one that cannot be read."""
    try:
        last, seconds = (float(word) for word in lease.split())
        return max(0.0, last + seconds - float(uptime.split(maxsplit=1)[0]))
    except (ValueError, IndexError):
        return None


def _whole(text: str) -> int | None:
    """A number of seconds, None for none."""
    return int(text) if text.isdecimal() and len(text) < 12 else None


def _holder(text: str) -> tuple[str, str]:
    """The token and the holder in the text of a lock: ``TOKEN PID HOLDER``."""
    token, _, rest = text.partition(" ")
    return token, rest.partition(" ")[2]
