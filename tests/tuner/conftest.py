"""What the tests of the watchdog share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import watchdog

from tuner.watchdog import Watchdog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def knob(tmp_path: Path) -> Path:
    """What the watchdog is to put back to "found"."""
    path = tmp_path / "knob with 'quotes'; $(and more)\n"
    path.write_text("changed\n")
    return path


@pytest.fixture
def dog(folder: Path) -> Iterator[Watchdog]:
    with watchdog(folder, 100) as found:
        yield found
