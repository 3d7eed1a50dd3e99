"""Snapshots and answers are anybody's: none makes us run anything else, or ends in a traceback."""

import contextlib
import json

from fake_kvm import FakeKvm
from hypothesis import given, settings
from hypothesis import strategies as st
from spoilt import Answers, Tree, complaint, mutated, shape, spoilt
from test_kvm_state import populated

from envs.errors import TunerError
from envs.hosts.kvm.host import KvmHost
from envs.hosts.transport import Result


class Bridged(FakeKvm):
    """The guests and the uplink are ports of a bridge without filters."""

    def __init__(self) -> None:
        super().__init__()
        populated(self)
        options = {"mcast_snooping": 1, "nf_call_iptables": 1}
        self.links["br0"] = {"linkinfo": {"info_kind": "bridge", "info_data": options}}
        self.links["eth0"] = {}
        for port in ("vnet0", "vnet1", "eth0"):
            self.links[port] |= {"master": "br0", "linkinfo": {"info_slave_data": {}}}
        for name, link in self.links.items():
            link["ifname"] = name

    def _run(self, argv: tuple[str, ...]) -> Result:
        done = super()._run(argv)
        return Result(argv=argv, rc=0, out="[]\n") if argv[0] in ("bridge", "tc") else done


HOST = KvmHost.open("qemu:///system", Bridged())
FOUND: Tree = json.loads(HOST.snapshot())
MAC = "02:00:00:00:00:01"
DIRECT = {
    "options": {"mcast_snooping": 0, "nf_call_iptables": 0},
    "ports": {port: {"learning": True, "flood": False} for port in ("eth0", "vnet0", "vnet1")},
    "static": [[MAC, "vnet0"]],
    "ingress": ["vnet0"],
    "redirects": [
        {"port": "vnet0", "source": MAC, "target": MAC, "to": "vnet1", "preference": 7200}
    ],
    "watch": ["direct", f"vnet0/{MAC}/7200"],
}
NOW = {
    **{k: {key: [1] for key in FOUND["now"][k]} for k in ("affinity", "cpuset", "irqs")},
    **{k: dict.fromkeys(FOUND["now"][k], 200) for k in ("weight", "tx_queue")},
    "bridge": {**FOUND["now"]["bridge"], **DIRECT},
}
SNAPSHOT = {"now": NOW, "kept": {"found": FOUND["now"], "side_cores": [0]}}


def told(tree: Tree) -> set[tuple[str, ...]]:
    """The shapes of the commands that put a host back blindly."""
    return {shape(command) for command in HOST.restoring(json.dumps(tree).encode())}


def run(tree: Tree) -> set[tuple[str, ...]]:
    """The shapes of the commands that are run to put a host back, and of all questions."""
    fake = Bridged()
    with contextlib.suppress(TunerError):
        KvmHost.open("qemu:///system", fake).restore(json.dumps(tree).encode())
    return {shape(command) for command in fake.asked}


HONEST = [
    FOUND,
    SNAPSHOT,
    *(
        {"now": {**NOW, "bridge": {**NOW["bridge"], **part}}}
        for part in (
            {"options": {"mcast_snooping": 0}},
            {"options": {"nf_call_iptables": 0}},
            {"options": {"nf_call_iptables": 0, "mcast_snooping": 0}},
            {"ingress": []},
        )
    ),
]
TOLD = {command for tree in HONEST for command in told(tree)}
RUN = {command for tree in HONEST for command in run(tree)}
RUN |= {command[5:] for command in TOLD}  # these are told with a guard


@settings(max_examples=150, derandomize=True)
@given(spoilt(SNAPSHOT))
def test_a_spoilt_snapshot_is_refused_or_tells_of_nothing_else(tree: Tree) -> None:
    with contextlib.suppress(TunerError):
        assert told(tree) <= TOLD


@settings(max_examples=60, derandomize=True)
@given(spoilt(SNAPSHOT))
def test_a_spoilt_snapshot_is_refused_or_puts_back_nothing_else(tree: Tree) -> None:
    assert run(tree) <= RUN


def test_interrupts_that_are_not_the_uplink_s_are_left_alone() -> None:
    irqs = {"/proc/irq/9/smp_affinity_list": [0], "/proc/irq/41/smp_affinity_list": [0]}
    tree = {"now": {**NOW, "irqs": irqs}}
    commands = HOST.restoring(json.dumps(tree).encode())
    assert [c[-2] for c in commands if "/proc/irq" in c[-2]] == ["/proc/irq/41/smp_affinity_list"]


@settings(max_examples=60, derandomize=True)
@given(number=st.integers(0, 60), data=st.data())
def test_whatever_a_host_answers_is_read_or_refused_in_one_line(
    number: int, data: st.DataObject
) -> None:
    answers = Answers(Bridged(), number, lambda text: data.draw(mutated(text)))
    assert complaint(lambda: KvmHost.open("qemu:///system", answers)).isprintable()
