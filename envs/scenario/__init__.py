"""A host and its workload as data: shipped TOML files, a person's own, or generated ones."""

from envs.scenario.costs import Costs, Scheduler
from envs.scenario.files import load, names, render
from envs.scenario.generator import TEST_SEEDS, TRAIN_SEEDS, VALIDATION_SEEDS, draw, generate
from envs.scenario.records import (
    DriverDomain,
    Flow,
    GuestKind,
    Link,
    Scenario,
    Settable,
    Stock,
    Topology,
)

__all__ = [
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "VALIDATION_SEEDS",
    "Costs",
    "DriverDomain",
    "Flow",
    "GuestKind",
    "Link",
    "Scenario",
    "Scheduler",
    "Settable",
    "Stock",
    "Topology",
    "draw",
    "generate",
    "load",
    "names",
    "render",
]
