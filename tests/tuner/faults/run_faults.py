"""Faults thrown at transactions, one at a time, at every step: a table of what became of the host.

    sudo env PYTHONPATH=.:tests .venv/bin/python tests/tuner/faults/run_faults.py lab --count 500

Fault, play and call follow from the seed and the number alone. A run that was cut off goes on
where it ended; it waits for as long as the file that ``--pause`` names is there.
"""

import argparse
import csv
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from fault_table import read, table
from subject import Subject
from throw import Row, Target, throw


def lab() -> Subject:
    from lab_subject import LabSubject  # noqa: PLC0415 - each kind of host needs other programs

    return LabSubject(0)


def kvm() -> Subject:
    from kvm_subject import KvmSubject  # noqa: PLC0415 - as above

    return KvmSubject()


def xen() -> Subject:
    from xen_subject import XenSubject  # noqa: PLC0415 - as above

    return XenSubject()


HOSTS: dict[str, Callable[[], Subject]] = {"lab": lab, "kvm": kvm, "xen": xen}


def main() -> None:
    """Throw the faults that are still missing in the file of the host, and make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", choices=HOSTS)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/faults"))
    parser.add_argument("--pause", type=Path, default=Path("/tmp/viotune-pause"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{given.host}.csv"
    done = {row.number for row in read(path)}
    missing = [number for number in range(given.count) if number not in done]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the host is taken away
    subject = HOSTS[given.host]()
    try:
        target = Target(subject)
        for number in missing:
            while given.pause.exists():
                time.sleep(1.0)
            add(path, throw(target, number, given.seed))
    finally:
        subject.down()
    rows = [row for host in HOSTS for row in read(given.out / f"{host}.csv")]
    (given.out / "faults.md").write_text(table(rows))


def add(path: Path, row: Row) -> None:
    """Add a row to the file, which is begun if there is none."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, Row.__struct_fields__, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(msgspec.to_builtins(row))
    told = f"{row.number} {row.fault} / {row.play} / {row.step}: {row.outcome}, {row.back} s"
    sys.stdout.write(f"{told}{' FAILED' if row.failed else ''}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
