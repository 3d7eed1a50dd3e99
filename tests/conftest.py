"""The tiers of the tests: what each needs, and what happens where that is missing.

A test without a marker is of the unit tier and runs everywhere. A tier that this machine cannot
run is skipped and named with its reason; with ``--all-tiers`` it fails instead.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from envs.hosts.emulated.build import PROGRAMS as EMULATION

settings.register_profile("viotune", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("viotune")


def _lab() -> str | None:
    """Why the lab tier cannot run here, or None."""
    if missing := _missing("ip", "tc", "nsenter", "taskset"):
        return missing
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    return _not_root()


def _ssh() -> str | None:
    """Why the ssh tier cannot run here, or None."""
    return _missing("sshd", "ssh-keygen", "ssh-agent", "ssh-add") or _not_root()


def _kvm() -> str | None:
    """Why the kvm tier cannot run here, or None."""
    programs = ("virtlogd", "libvirtd", "virsh", "qemu-system-x86_64", "busybox", "iperf3", "cpio")
    return _missing(*programs) or _lab()


def _emulated() -> str | None:
    """Why the tiers of hosts inside QEMU, xen and server, cannot run here, or None."""
    return _missing(*EMULATION) or _not_root()


def _missing(*programs: str) -> str | None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in programs if not shutil.which(name, path=path)]
    return f"programs missing: {', '.join(missing)}" if missing else None


def _not_root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


TIERS: dict[str, Callable[[], str | None]] = {
    "lab": _lab,
    "ssh": _ssh,
    "kvm": _kvm,
    "xen": _emulated,
    "server": _emulated,
}


def pytest_configure(config: pytest.Config) -> None:
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: a test of this tier, see tests/conftest.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-tiers", action="store_true", help="a tier that cannot run here fails")


@pytest.hookimpl(trylast=True)  # after -m has left out what is not wanted
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
