"""``tuner watch`` on a lab whose load goes through five phases, or through them again and again.

    sudo .venv/bin/python results/phases.py | tee results/phases.txt
    sudo .venv/bin/python results/phases.py 1200 | tee results/soak.txt       # for so many seconds

Each phase lasts until the watcher has had its say and then some looks more. After each stand the
watcher's memory and descriptors, and the longest that a guest which had a sender went without
traffic, by the kernel's own counters, tuning, reverting and all. In the end the watcher is ended
and every change is rolled back: what it kept must be there, in full, and nothing else.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from envs.host import Record
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from tuner.commands.status import Status
from tuner.commands.watch import Told

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tuner" / "faults"))
from traffic import Traffic

NAME = "phases"
PHASES = {
    "both guests receive": ("g1", "g2"),
    "only g2 receives": ("g2",),
    "both again": ("g1", "g2"),
    "only g1": ("g1",),
    "both once more": ("g1", "g2"),
}
LOOKS, QUIET = 14, 4
"""The most looks of a phase, and how many without news end it."""
WATCH = (
    *("--policy", "liao-queue", "--tries", "1", "--pairs", "8", "--seconds", "0.5"),
    *("--every", "0.5", "--at-most-every", "0"),
)


class Phase(Record, frozen=True):
    """What the watcher did in a phase, how large it was after it, and the longest standstill."""

    told: tuple[Told, ...]
    mebibytes: int
    descriptors: int
    stood_still: float


def main() -> None:
    """Bring up the lab, watch it through the phases, and take it down."""
    manage.up(LabConfig(name=NAME, tx_queue=8))
    try:
        found = LabHost.open(NAME).settings()
        phases = _watch(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
        _sum_up(phases)
        status = msgspec.json.decode(_tuner("status"), type=Status)
        print(f"status: {status.state}: {status.summary}")
        kept = sum(told.event == "kept" for phase in phases for told in phase.told)
        print(f"kept {kept} changes; status lists {len(status.generations)}")
        if status.generations:
            _tuner("rollback", "--to", "1")
        back = LabHost.open(NAME).settings() == found
        print(f"rolled back to before the first: {'as found' if back else 'NOT AS FOUND'}")
    finally:
        manage.down(NAME)


def _watch(seconds: float) -> list[Phase]:
    """Every phase once, and on for so many seconds."""
    words = [sys.executable, "-m", "tuner.cli", "watch", "--host", f"lab:{NAME}", "--json"]
    watch = subprocess.Popen([*words, *WATCH], stdout=subprocess.PIPE)
    end = time.monotonic() + seconds
    phases: list[Phase] = []
    try:
        for name, senders in cycle(PHASES.items()):
            if len(phases) >= len(PHASES) and time.monotonic() > end:
                break
            print(f"== {name}", flush=True)
            phases.append(_phase(watch, senders))
            print(
                f"  {phases[-1].mebibytes} MiB, {phases[-1].descriptors} descriptors; "
                f"longest without traffic {phases[-1].stood_still:.2f} s",
                flush=True,
            )
    finally:
        watch.terminate()
        watch.wait()
    return phases


def _phase(watch: "subprocess.Popen[bytes]", senders: tuple[str, ...]) -> Phase:
    """One phase, until the watcher is content."""
    lab = record.read(record.directory(NAME))
    inside = ("nsenter", "-t", str(lab.supervisor.pid), "-n", "--")
    for guest in ("g1", "g2"):
        word = signal.SIGCONT if guest in senders else signal.SIGSTOP
        os.kill(lab.processes[f"outside/{guest}/0"].pid, word)
    told: list[Told] = []
    vifs = [guest.replace("g", "vif") for guest in senders]
    with (
        TemporaryDirectory() as folder,
        Traffic(Path(folder), vifs=vifs, inside=lambda argv: (*inside, *argv)) as traffic,
    ):
        while len(told) < LOOKS and [one.event for one in told[-QUIET:]] != ["looked"] * QUIET:
            line = watch.stdout.readline() if watch.stdout else b""
            told.append(msgspec.json.decode(line, type=Told))
            print(f"  {told[-1].event}: {told[-1].reason}", flush=True)
        stood_still = traffic.stood_still(vifs)
    status = Path(f"/proc/{watch.pid}/status").read_text().splitlines()
    memory = next(line.split()[1] for line in status if line.startswith("VmRSS"))
    descriptors = len(list(Path(f"/proc/{watch.pid}/fd").iterdir()))
    return Phase(
        told=tuple(told),
        mebibytes=int(memory) // 1024,
        descriptors=descriptors,
        stood_still=stood_still,
    )


def _sum_up(phases: list[Phase]) -> None:
    events = Counter(told.event for phase in phases for told in phase.told)
    memory = [phase.mebibytes for phase in phases]
    descriptors = [phase.descriptors for phase in phases]
    print(f"\n{len(phases)} phases: " + ", ".join(f"{n} {what}" for what, n in events.items()))
    print(
        f"memory: {memory[0]} MiB after the first, {memory[-1]} after the last, {max(memory)} most"
    )
    print(f"descriptors: {min(descriptors)} to {max(descriptors)}")
    print(f"longest without traffic: {max(phase.stood_still for phase in phases):.2f} s")


def _tuner(verb: str, *words: str) -> bytes:
    command = [sys.executable, "-m", "tuner.cli", verb, "--host", f"lab:{NAME}", "--json", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


if __name__ == "__main__":
    main()
