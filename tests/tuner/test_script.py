"""A plan as a script: exact commands, and comments that stay comments."""

import shlex
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from envs.hosts.change import Change
from tuner.script import script

HOSTILE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(HOSTILE, HOSTILE)
def test_a_hostile_name_stays_one_argument_and_runs_nothing(name: str, uri: str) -> None:
    change = Change(
        knob="tx_queue", subject=name, before="1", after="2",
        do=(("printf", "%s", name),), undo=(("false", name),),
    )  # fmt: skip
    made = script(uri, "policy", [change])
    done = subprocess.run(["sh"], input=made.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == name


def test_the_commands_come_in_order_and_the_undoing_in_reverse() -> None:
    changes = [
        Change(
            knob="weight", subject=who, before="1", after="2",
            do=(("echo", who, "do"),), undo=(("echo", who, "undo"),),
        )
        for who in ("a", "b")
    ]  # fmt: skip
    lines = script("lab:", "lee", changes).splitlines()
    wanted = ["echo a do", "echo b do", "#   echo b undo", "#   echo a undo"]
    assert [line for line in lines if "echo" in line] == wanted
    assert shlex.split("echo a do") == ["echo", "a", "do"]


def test_nothing_to_change_is_a_script_that_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plan.sh"
    path.write_text(script("lab:", "stock", []))
    assert subprocess.run(["sh", str(path)], check=True, capture_output=True).stdout == b""
