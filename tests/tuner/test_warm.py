"""A person is told why the first simulation takes so long."""

import time

import pytest

from tuner import warm


def test_what_is_quick_is_not_spoken_of(capfd: pytest.CaptureFixture[str]) -> None:
    warm.warm()  # compiled by now, if it was not
    capfd.readouterr()
    warm.warm()
    assert capfd.readouterr().err == ""


def test_what_takes_long_is_told_while_it_does(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Slow:
        def __init__(self, _scenario: object) -> None: ...

        def measure(self, _seconds: float) -> None:
            while not told:
                time.sleep(0.001)

    monkeypatch.setattr(warm, "PATIENCE", 0.0)
    monkeypatch.setattr(warm, "SimHost", Slow)
    monkeypatch.setattr(warm.click, "echo", lambda text, **_: told.append(text))
    warm.warm()
    assert "compiling the simulator" in told[0]
