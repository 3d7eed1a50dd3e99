"""A plan as a script: exact commands, there and back, and comments that stay comments."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.hosts.change import Change, Command
from tuner.script import script

HOSTILE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def change(subject: str, do: Sequence[Command], undo: Sequence[Command]) -> Change:
    return Change(
        knob="weight", subject=subject, before="1", after="2", do=tuple(do), undo=tuple(undo)
    )


def run(made: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The script as ``sh`` reads it from a pipe, as from the other end of an SSH connection."""
    words = ["sh", "-s", "--", *arguments]
    return subprocess.run(words, input=made.encode(), capture_output=True, check=False)


@given(HOSTILE, HOSTILE, st.sampled_from(["apply", "undo"]))
def test_a_hostile_name_stays_one_argument_and_runs_nothing(name: str, uri: str, way: str) -> None:
    command = ("printf", "%s", name)
    done = run(script(uri, "policy", [change(name, [command], [command])]), way)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == name


TWO = [change(who, [("echo", who, "do")], [("echo", who, "undo")]) for who in ("a", "b")]


def test_the_commands_come_in_order_and_the_undoing_in_reverse() -> None:
    made = script("lab:", "lee", TWO)
    assert run(made, "apply").stdout == b"a do\nb do\n"
    assert run(made, "undo").stdout == b"b undo\na undo\n"


def test_each_step_says_what_it_changes_before_its_commands() -> None:
    lines = [line.strip() for line in script("lab:", "lee", TWO).splitlines()]
    assert lines[lines.index("echo b do") - 1] == "# weight of b: 1 -> 2"
    assert lines[lines.index("echo b undo || failed=1") - 1] == "# weight of b: 2 -> 1"


@pytest.mark.parametrize("arguments", [(), ("now",), ("apply", "undo"), ("",)])
def test_without_a_clear_order_nothing_happens(arguments: tuple[str, ...]) -> None:
    done = run(script("lab:", "lee", TWO), *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"apply | undo" in done.stderr


def test_applying_stops_where_it_fails_and_undoing_goes_on() -> None:
    failing = change("c", [("false",)], [("false",)])
    made = script("lab:", "lee", [TWO[0], failing, TWO[1]])
    applied, undone = run(made, "apply"), run(made, "undo")
    assert (applied.returncode, applied.stdout) == (1, b"a do\n")
    assert b"undo" in applied.stderr
    assert (undone.returncode, undone.stdout) == (1, b"b undo\na undo\n")


@pytest.mark.parametrize("way", ["apply", "undo"])
def test_nothing_to_change_is_a_script_that_does_nothing(tmp_path: Path, way: str) -> None:
    path = tmp_path / "plan.sh"
    path.write_text(script("lab:", "stock", []))
    done = subprocess.run(["sh", str(path), way], check=True, capture_output=True)
    assert done.stdout == b"nothing to change\n"
