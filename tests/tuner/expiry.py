"""A lease that runs out when a test wants it to, however fast or slow the machine is."""

from pathlib import Path


def expire(folder: Path) -> None:
    """Let the lease of the watchdog in a folder have run out."""
    fresh = folder / "lease.test"
    fresh.write_text("0 1\n")
    fresh.replace(folder / "lease")
