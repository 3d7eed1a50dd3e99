"""Make ``lab.json`` anew, as root: ``python tests/envs/hosts/recordings/record_lab.py``.

It applies one setting of all five knobs to a lab and takes it back, and keeps what every command
printed. Of ``/proc`` only the lines that are read are kept.
"""

import re
from pathlib import Path

import msgspec
from msgspec.structs import replace

from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.hosts.transport import LocalTransport, RecordingTransport, Result

NAME = "recorded"
UNREAD = re.compile(r"/proc/\d+/status\0(?!Name|Cpus_allowed_list)|/proc/stat\0(?!cpu)")


def kept(result: Result) -> Result:
    """A result without the lines of /proc that nobody reads."""
    if "grep" not in result.argv:
        return result
    lines = [line for line in result.out.splitlines(keepends=True) if not UNREAD.match(line)]
    return replace(result, out="".join(lines))


def main() -> None:
    """Record a lab from description to restoring."""
    manage.up(LabConfig(name=NAME, neighbours=1))
    try:
        folder = record.directory(NAME)
        lab, transport = record.read(folder), RecordingTransport(LocalTransport())
        host = LabHost(lab, folder, transport)
        host.describe()
        stock = host.settings()
        target = replace(
            stock,
            placement={k: (0,) if k.startswith("relay") else (1,) for k in stock.placement},
            weight={**stock.weight, "driver": 4 * stock.weight["driver"]},
            tx_queue={"vif1": 8, "vif2": 1000},
            bridge="direct",
            side_cores=(0,),
            polling=True,
        )
        host.measure(0.5)
        before = host.snapshot()
        host.apply(target)
        host.settings()
        host.restore(before)
    finally:
        manage.down(NAME)
    results = [kept(result) for result in transport.results]
    text = msgspec.json.encode({"lab": lab, "target": target, "results": results})
    Path(__file__).with_name("lab.json").write_bytes(msgspec.json.format(text, indent=1) + b"\n")


if __name__ == "__main__":
    main()
