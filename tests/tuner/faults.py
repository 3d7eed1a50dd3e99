"""Faults thrown at a transaction, one at a time, at every step of it, on a lab.

    sudo .venv/bin/python tests/tuner/faults.py --count 500 --seed 0 --out results/faults

A child process tunes a lab through a transport that misbehaves at one of its calls, or is itself
killed there. Then the host must be as it was found, or as it was confirmed, within the time to
confirm; tools that are not ours say whether it is, ``tuner status`` has to say the same, and
nothing may be left over. Fault, call and lab follow from the seed and the number alone, and a run
that was cut off goes on where it ended. The labs' senders are paused, so that many fit a machine.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from traceback import walk_stack

from msgspec.structs import replace

from envs.errors import CommandFailed, HostBusy, HostError, TunerError
from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.hosts.transport import LocalTransport, Result
from tuner import state, watchdog
from tuner.commands.status import examine
from tuner.interrupts import Interrupted
from tuner.journal import JOURNAL
from tuner.transaction import recover, roll_back, transaction

CONFIRM_WITHIN = 20
"""Seconds: as short as a busy machine can keep up with."""
SLOW = 20.0
"""Seconds that a slow command takes: longer than the watchdog waits."""
SLACK = 4.0
"""Seconds beyond the time to confirm before a host counts as not back: tools take time, too."""
EDIT = "777"
"""The TX queue length that the administrator sets."""

STEPS = {
    "held": "lock",
    "recover": "recover",
    "_begin": "snapshot and arm",
    "apply": "apply",
    "_announce": "announce",
    "_read_back": "read back",
    "_probe": "probe",
    "measure": "measure",
    "confirm": "confirm",
    "undo": "undo",
}
"""What a transaction is doing, by the innermost of its functions that is running."""


class Faulty:
    """Does as the transport within it, except at one call, where it does ``fault``."""

    def __init__(self, at: int, fault: "Callable[[Faulty, Sequence[str]], Result | None]") -> None:
        self.inner = LocalTransport()
        self.calls: list[str] = []
        self.at, self.fault = at, fault
        self.cut = False

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        instead = self._call(argv)
        return instead or self.inner.run(argv, stdin=stdin, timeout=timeout)

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 10.0
    ) -> tuple[Result, ...]:
        return tuple(self.run(command, timeout=timeout) for command in commands)

    def _call(self, argv: Sequence[str]) -> Result | None:
        self.calls.append(_step())
        if len(self.calls) - 1 == self.at:
            os.write(1, f"{self.calls[-1]}\n".encode())
            return self.fault(self, argv)
        if self.cut:
            raise CommandFailed("the link is down")
        return None


def _step() -> str:
    names = [frame.f_code.co_name for frame, _ in walk_stack(None)]
    return next((STEPS[name] for name in names if name in STEPS), "other")


def _suicide(number: int) -> Callable[[Faulty, Sequence[str]], None]:
    def kill(_via: Faulty, _argv: Sequence[str]) -> None:
        os.kill(os.getpid(), number)

    return kill


def _refuse(_via: Faulty, argv: Sequence[str]) -> Result:
    return Result(argv=tuple(argv), rc=1, err="refused")


def _ignore(_via: Faulty, argv: Sequence[str]) -> Result:
    return Result(argv=tuple(argv), rc=0)


def _slow(_via: Faulty, _argv: Sequence[str]) -> None:
    time.sleep(SLOW)


def _cut(via: Faulty, _argv: Sequence[str]) -> None:
    via.cut = True
    raise CommandFailed("the link is down")


class Fixture:
    """A lab to throw faults at, with its tuner's state on a small filesystem of its own."""

    def __init__(self, number: int) -> None:
        self.name = f"faults{number}"
        self.disk = Path(f"/tmp/viotune-faults{number}")
        self.disk.mkdir(exist_ok=True)
        subprocess.run(["umount", self.disk], check=False, capture_output=True)
        disk = ("mount", "-t", "tmpfs", "-o", "size=512k", "faults", str(self.disk))
        subprocess.run(disk, check=True)
        self.up()

    def up(self) -> None:
        with suppress(HostError):
            manage.down(self.name)
        made = manage.up(LabConfig(name=self.name, guests=2))
        self.record = json.loads((Path(made.state_dir) / "lab.json").read_text())
        for key, process in self.record["processes"].items():
            if key.startswith("outside"):
                os.kill(process["pid"], signal.SIGSTOP)
        found = self.readings()
        while True:  # the kernel tells of a new bridge's state up to a second late
            time.sleep(1.1)
            before, found = found, self.readings()
            if before == found:
                break
        self.found = found
        settings = self.host().settings()
        self.target = replace(
            settings,
            placement={**settings.placement, "relay1": (0,), "relay2": (0,)},
            tx_queue=dict.fromkeys(settings.tx_queue, 64),
            weight={domain: 2 * weight for domain, weight in settings.weight.items()},
            bridge="lean",
        )
        via = Faulty(-1, _ignore)
        tune(self, via, confirm_within=600)
        self.calls, self.changed = len(via.calls), self.readings()
        with state.held(self.host()) as held:
            roll_back(held)
        assert self.readings() == self.found

    def down(self) -> None:
        with suppress(HostError):
            manage.down(self.name)
        subprocess.run(["umount", self.disk], check=False)

    def host(self, transport: Faulty | None = None) -> LabHost:
        host = LabHost.open(self.name, transport)
        host.state_dir = self.disk / "state"
        return host

    def readings(self) -> tuple[str, ...]:
        """The knobs as the system's own tools see them, without any code of ours."""
        inside = ("nsenter", "-t", str(self.record["supervisor"]["pid"]), "-n", "--")
        pids = " ".join(str(p["pid"]) for p in self.record["processes"].values())
        group = f"{self.record['cgroup']['root']}/viotune-{self.name}"
        script = (
            f"for pid in {pids}; do taskset -a -c -p $pid; done; ip -d link show;"
            "bridge -d link show; tc qdisc show; tc filter show dev vif1 ingress;"
            f"grep -H '' {group}/*/cpu.shares {group}/*/cpu.weight"
        )
        done = subprocess.run(
            (*inside, "sh", "-c", script), capture_output=True, text=True, check=False
        )
        return tuple(re.sub(r"\w+_timer +[\d.]+", "", done.stdout).splitlines())

    def edit(self) -> None:
        inside = ("nsenter", "-t", str(self.record["supervisor"]["pid"]), "-n", "--")
        edit = (*inside, "ip", "link", "set", "dev", "vif2", "txqueuelen", EDIT)
        subprocess.run(edit, check=True)

    def kill_guest(self) -> None:
        os.kill(self.record["processes"]["g2/0"]["pid"], signal.SIGKILL)

    def kill_watchdog(self) -> None:
        with suppress(OSError, IndexError, ValueError):
            pid = int((self.disk / "state" / "lock").read_text().split()[1])
            if "watchdog.sh" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)

    def fill(self) -> None:
        with suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def second_tuner(self) -> None:
        """Another tuner of another process: it must be refused while the first one has the lock."""
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(HostBusy), state.held(self.host()):
                code = 0
            os._exit(code)
        os.waitpid(child, 0)


def faults(fixture: Fixture) -> dict[str, Callable[[Faulty, Sequence[str]], Result | None]]:
    def does(what: Callable[[], None]) -> Callable[[Faulty, Sequence[str]], None]:
        return lambda _via, _argv: what()

    return {
        "tuner SIGKILL": _suicide(signal.SIGKILL),
        "tuner SIGTERM": _suicide(signal.SIGTERM),
        "tuner SIGINT": _suicide(signal.SIGINT),
        "command refused": _refuse,
        "command ignored": _ignore,
        "command slow": _slow,
        "link cut": _cut,
        "watchdog killed": does(fixture.kill_watchdog),
        "second tuner": does(fixture.second_tuner),
        "edit by hand": does(fixture.edit),
        "disk full": does(fixture.fill),
        "guest killed": does(fixture.kill_guest),
    }


KINDS = (
    "tuner SIGKILL",
    "tuner SIGTERM",
    "tuner SIGINT",
    "command refused",
    "command ignored",
    "command slow",
    "link cut",
    "watchdog killed",
    "second tuner",
    "edit by hand",
    "disk full",
    "guest killed",
)


def tune(fixture: Fixture, via: Faulty, confirm_within: int = CONFIRM_WITHIN) -> None:
    """All the steps of a transaction, from the lock to the confirmation."""
    host = fixture.host(via)
    reopen = lambda: fixture.host(via)  # noqa: E731 - a newcomer meets the same fault
    with (
        state.held(host, confirm_within=confirm_within, reopen=reopen) as held,
        transaction(held, "faults") as trial,
    ):
        for settings in (trial.found, fixture.target, trial.found, fixture.target):
            trial.apply(settings, "faults")
            trial.measure(0.02)
        trial.confirm("faults")


def child(fixture: Fixture, at: int, fault: str) -> tuple[int, str]:
    """Tune in a process of its own; its exit code (negative: the signal), and the step."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            os.dup2(writer, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            tune(fixture, Faulty(at, faults(fixture)[fault]))
            code = 0
        except TunerError as error:
            os.write(1, f"{type(error).__name__}: {error}\n".encode())
            code = error.exit_code
        except Interrupted as error:
            code = error.exit_code
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), text


def throw(fixture: Fixture, number: int, seed: int) -> dict[str, str]:
    """Throw one fault, and say what became of the host."""
    fault = KINDS[number % len(KINDS)]
    at = Random(f"{seed} {number}").randrange(fixture.calls)  # noqa: S311 - a draw, not a secret
    for name in ("state", "filler"):
        subprocess.run(["rm", "-rf", fixture.disk / name], check=True)
    began = time.monotonic()
    code, text = child(fixture, at, fault)
    ended = time.monotonic()
    outcome, readings = "NOT BACK", ()
    while outcome == "NOT BACK" and time.monotonic() < ended + CONFIRM_WITHIN + SLACK:
        time.sleep(0.1)
        readings = fixture.readings()
        for name, lines in allowed(fixture, fault, code):
            if lines == readings:
                outcome = name
    back = time.monotonic() - ended
    fixture.disk.joinpath("filler").unlink(missing_ok=True)
    if outcome == "NOT BACK":
        differing = sorted(set(fixture.found) ^ set(readings))
        Path(f"/tmp/faults-{number}.txt").write_text("\n".join([text, *differing]))
    first, _, rest = text.partition("\n")
    thrown = first in STEPS.values() or first == "other"
    step, error = (first, rest) if thrown else ("never thrown", text)
    return {
        "number": str(number),
        "fault": fault,
        "step": step,
        "call": str(at),
        "outcome": outcome,
        "seconds": f"{back:.1f}",
        "took": f"{ended - began:.1f}",
        "exit code": str(code),
        "error": error.strip(),
        **_afterwards(fixture, fault),
    }


def allowed(fixture: Fixture, fault: str, code: int) -> list[tuple[str, tuple[str, ...]]]:
    """What the host may be now, and the readings that mean it."""
    journal = fixture.disk / "state" / JOURNAL
    told = journal.read_text() if journal.exists() else ""
    named = [("as confirmed", fixture.changed)] if '"event":"confirmed"' in told else []
    if code != 0:
        named.append(("as found", fixture.found))
    if fault == "guest killed":
        fallen = f"pid {fixture.record['processes']['g2/0']['pid']}'s"
        named += [(name, tuple(x for x in lines if fallen not in x)) for name, lines in named]
    if fault == "edit by hand":
        edit = f"qlen {EDIT}"
        named += [
            (
                f"{name}; edit kept",
                tuple(re.sub(r"qlen \d+", edit, x) if ": vif2" in x else x for x in lines),
            )
            for name, lines in named
        ]
    return named


def _afterwards(fixture: Fixture, fault: str) -> dict[str, str]:
    """What status says, and what is left over once the next command has been run."""
    if fault == "guest killed":
        status = examine("lab:", fixture.host())
        fixture.up()
        return {"status": status.state, "summary": status.summary, "left over": ""}
    status = examine("lab:", fixture.host())
    left: list[str] = []
    try:
        with state.held(fixture.host()) as held:
            recover(held)
            if held.journal.standing().generations:
                roll_back(held, force=True)
        if fault == "edit by hand":
            host = fixture.host()
            settings = host.settings()
            host.apply(replace(settings, tx_queue={**settings.tx_queue, "vif2": 1000}))
        if fixture.readings() != fixture.found:
            left.append("knobs")
    except HostError as error:
        left.append(str(error))
    found = watchdog.look(LocalTransport(), fixture.disk / "state")
    if found.token:
        left.append(f"lock of {found.holder}")
    if found.armed:
        left.append("an armed watchdog")
    if left:
        fixture.up()
    return {"status": status.state, "summary": status.summary, "left over": "; ".join(left)}


FIELDS = (
    "number",
    "fault",
    "step",
    "call",
    "outcome",
    "seconds",
    "took",
    "exit code",
    "error",
    "status",
    "summary",
    "left over",
)


def work(lab: int, numbers: Sequence[int], seed: int, path: Path) -> None:
    """Throw faults at one lab, and add a line to the file for each."""
    fixture = Fixture(lab)
    try:
        for number in numbers:
            row = throw(fixture, number, seed)
            with path.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS, lineterminator="\n").writerow(row)
    finally:
        fixture.down()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file that may not be there yet, by their number."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, FIELDS))[1:]
    return sorted(rows, key=lambda row: int(row["number"]))


def table(rows: Sequence[dict[str, str]]) -> str:
    """Fault by step: how many were thrown, and how each ended."""
    rows = [row for row in rows if row["step"] != "never thrown"]
    ended = Counter(row["outcome"] for row in rows)
    lines = [
        f"{len(rows)} faults: " + ", ".join(f"{n} {outcome}" for outcome, n in ended.items()),
        f"left over: {sum(bool(row['left over']) for row in rows)}",
        "",
        "| fault | step | thrown | outcome | status said | longest until back, s |",
        "|---|---|---|---|---|---|",
    ]
    kinds = {kind: number for number, kind in enumerate(KINDS)}
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda row: (kinds[row["fault"]], row["step"])):
        groups.setdefault((row["fault"], row["step"]), []).append(row)
    for (fault, step), group in groups.items():
        cells = [
            ", ".join(f"{n} {word}" for word, n in Counter(r[key] for r in group).items())
            for key in ("outcome", "status")
        ]
        longest = max(float(row["seconds"]) for row in group)
        lines.append(
            f"| {fault} | {step} | {len(group)} | {cells[0]} | {cells[1]} | {longest:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Throw all the faults that are still missing in the file, and make the table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/faults"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "faults.csv"
    if not path.exists():
        path.write_text(",".join(FIELDS) + "\n")
    done = {int(row["number"]) for row in read(path)}
    missing = [number for number in range(given.count) if number not in done]
    workers = []
    for lab in range(given.labs):
        pid = os.fork()
        if pid == 0:
            work(lab, missing[lab :: given.labs], given.seed, path)
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)
    (given.out / "faults.md").write_text(table(read(path)))


if __name__ == "__main__":
    main()
