"""A timeline shows cores, queues and drops in one picture."""

import sys
from pathlib import Path

import pytest

from tuner import cli


def test_a_timeline_is_drawn_beside_the_measurement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "timeline.png"
    words = ["simulate", "lab", "--timeline", str(picture), "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["tuner", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert "Gb/s per core" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
