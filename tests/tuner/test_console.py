"""What a command prints is what it was given, whatever a name looks like."""

import pytest
from rich.table import Table

from tuner.console import Output

LOOKS_ALIKE = ["lab:a: as found", "lab:b: as found", "a [red]guest[/red]", ":smile:"]


@pytest.mark.parametrize("text", LOOKS_ALIKE)
def test_names_are_printed_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None, show_header=False)
    table.add_row(text)
    Output(as_json=False).show(text, table)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [text, text]


@pytest.mark.parametrize("text", LOOKS_ALIKE)
def test_so_they_are_beside_a_bar(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Output(as_json=False).progress(2, "lab:b") as step:
        step(text)
    assert text in capsys.readouterr().err
