"""A snapshot is a file: whatever is in it, what is run is what an honest one would have run."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoilt import Answers, Tree, complaint, mutated, spoilt

from envs.errors import TunerError
from envs.hosts.change import Command
from envs.hosts.lab.host import LabHost
from envs.hosts.lab.record import Lab
from envs.hosts.transport import RecordedTransport, Result, write_file

RECORDING = json.loads((Path(__file__).parents[1] / "recordings" / "lab.json").read_text())
LAB = msgspec.convert(RECORDING["lab"], Lab)
RESULTS = msgspec.convert(RECORDING["results"], tuple[Result, ...])
HOST = LabHost(LAB, Path("/run/viotune/lab/recorded"), RecordedTransport(RESULTS))
SNAPSHOT: Tree = json.loads(HOST.snapshot())


def shape(command: Command) -> tuple[str, ...]:
    """A command without its values: the programs, the scripts, and the files that are written."""
    words = [word for word in command if not word.startswith("-")]
    if "-c" in command and "sh" in command:
        script = command[command.index("-c") + 1]
        written = script == write_file("", "")[2]
        return (script, command[-2] if written else "")
    return (words[0], *(w for w in words if w in ("ip", "tc", "bridge", "kill", "taskset")))


DIRECT = {
    **SNAPSHOT,
    "bridge": {**SNAPSHOT["bridge"], "watch": ["direct", "vif1/02:00:00:00:00:01/7200"]},
    "stock_bridge": SNAPSHOT["bridge"],
}
HONEST = {
    *(shape(c) for tree in (SNAPSHOT, DIRECT) for c in HOST.restoring(json.dumps(tree).encode())),
    *(("nsenter", program) for program in ("bridge", "ip", "tc")),
}


@settings(max_examples=200, derandomize=True)
@given(spoilt(SNAPSHOT))
def test_a_spoilt_snapshot_is_refused_or_runs_nothing_else(tree: Tree) -> None:
    try:
        commands = HOST.restoring(json.dumps(tree).encode())
    except TunerError:
        return
    assert {shape(command) for command in commands} <= HONEST


@pytest.mark.parametrize("where", ["netfilter", "options"])
def test_switches_of_other_things_are_refused(where: str) -> None:
    tree = {**SNAPSHOT, "bridge": {**SNAPSHOT["bridge"], where: {"/etc/passwd": "0"}}}
    with pytest.raises(TunerError, match="not a valid LabState"):
        HOST.restoring(json.dumps(tree).encode())


@settings(max_examples=60, derandomize=True)
@given(number=st.integers(0, 46), data=st.data())
def test_whatever_a_lab_answers_is_read_or_refused_in_one_line(
    number: int, data: st.DataObject
) -> None:
    recorded = RecordedTransport(RESULTS)
    answers = Answers(recorded, number, lambda text: data.draw(mutated(text)))
    folder = Path("/run/viotune/lab/recorded")
    assert complaint(lambda: LabHost(LAB, folder, answers)).isprintable()
