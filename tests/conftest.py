"""The tiers of the tests: what each needs, and what happens where that is missing.

A test without a marker is of the unit tier and runs everywhere. A tier that this machine cannot
run is skipped and named with its reason; with ``--all-tiers`` it fails instead.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def _lab() -> str | None:
    """Why the lab tier cannot run here, or None."""
    missing = [name for name in ("ip", "tc", "nsenter", "taskset") if not shutil.which(name)]
    if missing:
        return f"programs missing: {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    if os.geteuid() != 0:
        return "needs root"
    return None


TIERS: dict[str, Callable[[], str | None]] = {"lab": _lab}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-tiers", action="store_true", help="a tier that cannot run here fails")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for tier, why_not in TIERS.items():
        reason = why_not()
        if reason is None:
            continue
        members = [item for item in items if item.get_closest_marker(tier)]
        if members and config.getoption("--all-tiers"):
            raise pytest.UsageError(f"tier {tier} cannot run: {reason}")
        for item in members:
            item.add_marker(pytest.mark.skip(reason=f"tier {tier} cannot run: {reason}"))
