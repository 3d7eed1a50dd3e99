"""Each knob of a lab at two values: what other tools read from the kernel, and what it does.

    sudo .venv/bin/python results/knobs.py | tee results/knobs.txt

Rounds of all settings in turn on one fresh lab for each workload; medians, lowest and highest.
"""

import statistics
import subprocess
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from envs.host import HostSpec, Settings
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.reward import bandwidth, cores_used

ROUNDS, SECONDS, SETTLE = 5, 1.5, 0.4
NAME = "knobs"


def main() -> None:
    """Measure the knobs that act between guests, then the weight beside a neighbour."""
    _measure(LabConfig(name=NAME, workload="intra"), _settings)
    _measure(LabConfig(name=NAME, workload="intra", neighbours=2), _weights)


def _settings(spec: HostSpec, found: Settings) -> Mapping[str, Settings]:
    relays = {backend.name: (0,) for backend in spec.backends}
    guests = dict.fromkeys(spec.vcpus, (1,))
    apart = {backend.name: (k % 2,) for k, backend in enumerate(spec.backends)}
    side = replace(found, placement={**found.placement, **relays, **guests}, side_cores=(0,))
    return {
        "as found": found,
        "placement: relays apart, cores 0 and 1": replace(
            found, placement={**found.placement, **apart}
        ),
        "placement: relays on core 0": replace(found, placement={**found.placement, **relays}),
        "tx_queue 4": replace(found, tx_queue=dict.fromkeys(found.tx_queue, 4)),
        "bridge lean": replace(found, bridge="lean"),
        "bridge direct": replace(found, bridge="direct"),
        "side-core 0, sleeping": side,
        "side-core 0, polling": replace(side, polling=True),
    }


def _weights(spec: HostSpec, found: Settings) -> Mapping[str, Settings]:
    boosted = {spec.driver_domain, *(g.name for g in spec.guests if g.role == "io")}
    weight = {d: w * 8 if d in boosted else w for d, w in found.weight.items()}
    return {
        "as found, two CPU-bound neighbours": found,
        "weight x8 of the driver domain and the I/O guests": replace(found, weight=weight),
    }


def _measure(
    config: LabConfig, make: Callable[[HostSpec, Settings], Mapping[str, Settings]]
) -> None:
    manage.up(config)
    try:
        host = LabHost.open(config.name)
        spec, found = host.describe(), host.settings()
        settings = make(spec, found)
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in settings}
        seen: dict[str, str] = {}
        for _ in range(ROUNDS):
            for name, setting in settings.items():
                host.apply(setting)
                seen.setdefault(name, _seen(config.name, name))
                host.measure(SETTLE)
                sample = host.measure(SECONDS)
                rows[name].append((bandwidth(sample), cores_used(spec, setting, sample)))
        for name, measured in rows.items():
            gbps, ratio = [b for b, _ in measured], [b / c for b, c in measured]
            print(f"== {name}")
            print(seen[name])
            print(
                f"{statistics.median(gbps):.1f} Gb/s ({min(gbps):.1f} to {max(gbps):.1f}), "
                f"{statistics.median(ratio):.2f} Gb/s per core "
                f"({min(ratio):.2f} to {max(ratio):.2f})\n"
            )
    finally:
        manage.down(config.name)


def _seen(lab: str, name: str) -> str:
    """What taskset, ip, bridge, tc and the cgroup files say of the knob that ``name`` names."""
    found = record.read(record.directory(lab))
    enter = ("nsenter", "-t", str(found.supervisor.pid), "-n")
    tasks = [p.pid for key, p in found.processes.items() if key.startswith(("relay", "g"))]
    weights = found.group.glob("*/cpu.shares") if found.group else ()
    tools: dict[str, list[tuple[str, ...]]] = {
        "pl": [("taskset", "-pc", str(pid)) for pid in tasks],
        "tx": [(*enter, "ip", "link", "show", "vif1")],
        "br": [
            (*enter, "bridge", "-d", "link", "show", "dev", "vif1"),
            (*enter, "tc", "filter", "show", "dev", "vif1", "ingress"),
        ],
        "we": [("grep", "-H", "", *map(str, sorted(weights)))],
    }
    tools["si"] = tools["pl"]
    tools["as"] = [*tools["pl"], *tools["tx"], *tools["br"], *tools["we"]]
    done = [
        subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for command in tools[name[:2]]
    ]
    return "".join(f"  {line}\n" for text in done for line in text.splitlines()).rstrip()


if __name__ == "__main__":
    main()
