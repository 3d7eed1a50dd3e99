"""Faults thrown at transactions, one at a time, at every step: a table of what became of the host.

    sudo env PYTHONPATH=.:tests .venv/bin/python tests/tuner/faults/run_faults.py lab --count 500

Fault, play and call follow from the seed and the number alone; plays that came later have the
numbers from 1000 on (``--first 1000``), faults once a command is done, whose reply is lost, those
from 2000 on. A run that was cut off goes on where it ended; it waits for as long as the file that
``--pause`` names is there. Most of the time a fault is waited for: ``--labs 3`` throws at three
labs at once, one fault at a time at each.
"""

import argparse
import csv
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import Process
from pathlib import Path

import msgspec
from fault_table import read, table
from row import Row
from subject import Subject
from throw import Target, throw


def lab(number: int) -> Subject:
    from lab_subject import LabSubject  # noqa: PLC0415 - each kind of host needs other programs

    return LabSubject(number)


def kvm(_number: int) -> Subject:
    from kvm_subject import KvmSubject  # noqa: PLC0415 - as above

    return KvmSubject()


def xen(_number: int) -> Subject:
    from xen_subject import XenSubject  # noqa: PLC0415 - as above

    return XenSubject()


HOSTS: dict[str, Callable[[int], Subject]] = {"lab": lab, "kvm": kvm, "xen": xen}


def main() -> None:
    """Throw the faults that are still missing in the file of the host, and make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", choices=HOSTS)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/faults"))
    parser.add_argument("--pause", type=Path, default=Path("/tmp/viotune-pause"))
    given = parser.parse_args()
    if given.labs > 1 and given.host != "lab":
        parser.error(f"there is only one {given.host} host to throw at: leave out --labs")
    given.out.mkdir(parents=True, exist_ok=True)
    done = {row.number for row in read(given.out / f"{given.host}.csv")}
    numbers = range(given.first, given.first + given.count)
    missing = [number for number in numbers if number not in done]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the hosts are taken away
    shares = [(given, at, missing[at :: given.labs]) for at in range(given.labs)]
    workers = [Process(target=work, args=share) for share in shares]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    rows = [row for host in HOSTS for row in read(given.out / f"{host}.csv")]
    (given.out / "faults.md").write_text(table(rows))


def work(given: argparse.Namespace, at: int, numbers: Sequence[int]) -> None:
    """Throw the faults of some numbers at a host of its own."""
    subject = HOSTS[given.host](at)
    try:
        target = Target(subject)
        for number in numbers:
            while given.pause.exists():
                time.sleep(1.0)
            add(given.out / f"{given.host}.csv", throw(target, number, given.seed))
    finally:
        subject.down()


def add(path: Path, row: Row) -> None:
    """Add a row to the file, which is begun if there is none."""
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, Row.__struct_fields__, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(msgspec.to_builtins(row))
    told = f"{row.number} {row.fault} / {row.play} / {row.step}: {row.outcome}, {row.back} s"
    sys.stdout.write(f"{told}{' FAILED' if row.failed else ''}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
