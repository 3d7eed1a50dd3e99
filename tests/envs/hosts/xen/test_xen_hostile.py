"""A snapshot is a file: whatever is in it, what is run is what an honest one would have run."""

import contextlib
import json
from collections.abc import Sequence

from hypothesis import given, settings
from spoilt import Tree, shape, spoilt
from xen_world import SITE, present

from envs.errors import TunerError
from envs.hosts.transport import RecordedTransport, Result
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.reading import Present
from envs.hosts.xen.state import XenState, state_of

HERE = present()
STATE = state_of(HERE)


class Asked(RecordedTransport):
    """Says yes to everything, and does nothing."""

    def run_all(
        self,
        commands: Sequence[Sequence[str]],
        *,
        timeout: float = 30.0,  # noqa: ARG002 - of the protocol
    ) -> tuple[Result, ...]:
        self.asked += map(tuple, commands)
        return tuple(Result(argv=tuple(command), rc=0) for command in commands)


class Made(XenHost):
    """The made-up host, which is always read as it was found."""

    def _read(self) -> tuple[Present, XenState]:
        return HERE, STATE


FOUND: Tree = json.loads(Made(SITE, Asked([])).snapshot())
MAC = "00:16:3e:00:00:01"
G1, G2 = HERE.vifs
DIRECT = {
    "options": {"mcast_snooping": 0},
    "ports": {port: {"learning": True, "flood": False} for port in ("eth1", G1, G2)},
    "static": [[MAC, G1]],
    "ingress": [G1],
    "redirects": [{"port": G1, "source": MAC, "target": MAC, "to": G2, "preference": 7200}],
    "watch": ["direct", f"{G1}/{MAC}/7200"],
}
NOW = {
    **{key: dict.fromkeys(FOUND["now"][key], "1") for key in ("affinity", "feeds")},
    **{key: dict.fromkeys(FOUND["now"][key], 200) for key in ("weight", "tx_queue")},
    "bridge": {**FOUND["now"]["bridge"], **DIRECT},
}
SNAPSHOT = {"now": NOW, "kept": {"found": FOUND["now"], "side_cores": [0]}}


def told(tree: Tree) -> set[tuple[str, ...]]:
    """The shapes of the commands that put a host back blindly."""
    commands = Made(SITE, Asked([])).restoring(json.dumps(tree).encode())
    return {shape(c) for c in commands}


def run(tree: Tree) -> set[tuple[str, ...]]:
    """The shapes of the commands that are run to put a host back."""
    asked = Asked([])
    with contextlib.suppress(TunerError):
        Made(SITE, asked).restore(json.dumps(tree).encode())
    return {shape(command) for command in asked.asked}


UNHOOKED = {"now": {**NOW, "bridge": {**NOW["bridge"], "ingress": []}}}
TOLD = told(FOUND) | told(SNAPSHOT) | told(UNHOOKED)
RUN = run(FOUND) | run(SNAPSHOT) | run(UNHOOKED)


@settings(max_examples=150, derandomize=True)
@given(spoilt(SNAPSHOT))
def test_a_spoilt_snapshot_is_refused_or_tells_of_nothing_else(tree: Tree) -> None:
    with contextlib.suppress(TunerError):
        assert told(tree) <= TOLD


@settings(max_examples=60, derandomize=True)
@given(spoilt(SNAPSHOT))
def test_a_spoilt_snapshot_is_refused_or_puts_back_nothing_else(tree: Tree) -> None:
    assert run(tree) <= RUN
