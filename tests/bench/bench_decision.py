"""How long the shipped agent takes for one decision: python tests/bench/bench_decision.py [--json].

The host has 64 cores in eight LLC domains and 32 guests of two VCPUs, every fourth CPU-bound. The
figure is the median of several first proposals, in milliseconds of processor time of one core: the
policy's decisions, and the forecast of some 200 candidates.
"""

# ruff: noqa: T201 - a script that prints its result

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read by NumPy, once

import statistics
import time

from agents import registry
from envs.history import History
from envs.host import (
    Backend,
    Core,
    Guest,
    HostSpec,
    Limits,
    Port,
    Sample,
    Settings,
    Traffic,
    Uplink,
)

CORES, GUESTS, VCPUS = 64, 32, 2


def large() -> History:
    """A large host, measured as it was found."""
    cores = tuple(Core(id=c, llc=c // 8, node=c // 32, sibling=c) for c in range(CORES))
    guests = tuple(
        Guest(
            name=f"g{k}",
            role="io" if k % 4 else "cpu",
            vcpus=tuple(f"g{k}/{v}" for v in range(VCPUS)),
            vifs=(f"vif{k}",) if k % 4 else (),
        )
        for k in range(GUESTS)
    )
    vifs = [vif for guest in guests for vif in guest.vifs]
    backends = tuple(Backend(name=f"vhost-{vif}", vifs=(vif,)) for vif in vifs)
    domains = ("host", *(guest.name for guest in guests))
    spec = HostSpec(
        uri="kvm:",
        kind="kvm",
        cores=cores,
        driver_domain="host",
        backends=backends,
        guests=guests,
        uplink=Uplink(name="eth0", gbps=100.0),
        limits=Limits(
            weights=domains,
            tx_queue=(1, 10000),
            bridge=("stock", "lean", "direct"),
            side_cores=8,
        ),
    )
    names = [*(backend.name for backend in backends), *spec.vcpus]
    found = Settings(
        placement=dict.fromkeys(names, spec.core_ids),
        weight=dict.fromkeys(domains, 100),
        tx_queue=dict.fromkeys(vifs, 1000),
        bridge="stock",
        side_cores=(),
        polling=False,
    )
    traffic = Traffic(bytes=10**9, packets=10**6, drops=10)
    port = Port(inward=traffic, outward=traffic)
    sample = Sample(
        seconds=1.0,
        vifs=dict.fromkeys(vifs, port),
        uplink=port,
        guest_cpu={guest.name: 1.0 for guest in guests},
        backend_cpu={backend.name: 0.5 for backend in backends},
        core_busy=dict.fromkeys(spec.core_ids, 0.5),
        work={guest.name: 1.0 for guest in guests if guest.role == "cpu"},
        latency=None,
        cache_misses=None,
    )
    return History(spec=spec, baseline=found, baseline_sample=sample)


def main() -> None:
    """Print one figure, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    policy, history = registry.get("agent"), large()
    policy.propose(history)  # loads what it needs
    taken = []
    for _ in range(options.rounds):
        start = time.process_time()
        policy.propose(history)
        taken.append(1e3 * (time.process_time() - start))
    figure = statistics.median(taken)
    if options.json:
        print(json.dumps({"decision_ms": figure}))
    else:
        print(f"one decision, {CORES} cores, {GUESTS} guests: {figure:.1f} ms")


if __name__ == "__main__":
    main()
