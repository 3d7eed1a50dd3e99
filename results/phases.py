"""``tuner watch`` on a lab whose load goes through five phases.

    sudo .venv/bin/python results/phases.py [SECONDS] | tee results/phases.txt

Each phase lasts until the watcher has had its say and then some looks more; with SECONDS the
phases are gone through again for that long. After each the watcher's memory and descriptors are
read. The last line is the longest that a guest which had a sender went without traffic, seen every
50 ms by the kernel's own counters, tuning, reverting and all.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import cycle
from pathlib import Path

from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig

NAME = "phases"
PHASES = {
    "both guests receive": ("g1", "g2"),
    "only g2 receives": ("g2",),
    "both again": ("g1", "g2"),
    "only g1": ("g1",),
    "both once more": ("g1", "g2"),
}
LOOKS, QUIET = 12, 3
WATCH = (
    *("--policy", "liao-queue", "--tries", "1", "--pairs", "8", "--seconds", "0.5"),
    *("--every", "0.5", "--at-most-every", "0"),
)


def main() -> None:
    """Bring up the lab, watch it through the phases, and take it down."""
    manage.up(LabConfig(name=NAME, tx_queue=8))
    try:
        lab = record.read(record.directory(NAME))
        words = [sys.executable, "-m", "tuner.cli", "watch", "--host", f"lab:{NAME}", "--json"]
        counters = Counters(lab.supervisor.pid)
        watch = subprocess.Popen([*words, *WATCH], stdout=subprocess.PIPE, text=True)
        try:
            last = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 0.0)
            for number, (phase, senders) in enumerate(cycle(PHASES.items())):
                if number >= len(PHASES) and time.monotonic() > last:
                    break
                print(f"== {phase}", flush=True)
                for guest in ("g1", "g2"):
                    word = signal.SIGCONT if guest in senders else signal.SIGSTOP
                    os.kill(lab.processes[f"outside/{guest}/0"].pid, word)
                counters.sending(senders)
                _follow(watch)
                print(f"  {_size(watch.pid)}", flush=True)
        finally:
            watch.terminate()
            watch.wait()
            counters.end()
        status = [sys.executable, "-m", "tuner.cli", "status", "--host", f"lab:{NAME}"]
        print(subprocess.run(status, capture_output=True, text=True, check=True).stdout)
        print(f"longest without traffic: {counters.longest:.2f} s")
    finally:
        manage.down(NAME)


def _follow(watch: "subprocess.Popen[str]") -> None:
    """Print what the watcher does until it has tuned, and is content."""
    quiet, lines = 0, iter(watch.stdout or ())
    for _ in range(LOOKS):
        told = json.loads(next(lines))
        print(f"  {told['event']}: {told['reason']}", flush=True)
        quiet = quiet + 1 if told["event"] == "looked" else 0
        if quiet == QUIET:
            return


def _size(pid: int) -> str:
    """Memory and descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = next(line.split()[1] for line in status if line.startswith("VmRSS"))
    return f"{int(memory) // 1024} MiB, {len(list(Path(f'/proc/{pid}/fd').iterdir()))} descriptors"


class Counters:
    """The longest time for which a guest with a sender received nothing."""

    def __init__(self, supervisor: int) -> None:
        loop = "while :; do cat /proc/uptime; grep vif /proc/net/dev; echo; sleep 0.05; done"
        words = ["nsenter", "-t", str(supervisor), "-n", "--", "sh", "-c", loop]
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.longest = 0.0
        self._senders: tuple[str, ...] = ()
        self._since: dict[str, tuple[float, str]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def sending(self, guests: tuple[str, ...]) -> None:
        """Which guests have a sender from now on."""
        self._senders, self._since = guests, {}

    def end(self) -> None:
        """Stop counting."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()

    def _read(self) -> None:
        now = 0.0
        for line in self._process.stdout or ():
            words = line.split()
            if len(words) == 2:
                now = float(words[0])
            elif words:
                guest, sent = words[0].replace("vif", "g").rstrip(":"), words[9]
                since, before = self._since.get(guest, (now, sent))
                if guest in self._senders and sent == before:
                    self.longest = max(self.longest, now - since)
                    self._since[guest] = since, sent
                else:
                    self._since[guest] = now, sent


if __name__ == "__main__":
    main()
