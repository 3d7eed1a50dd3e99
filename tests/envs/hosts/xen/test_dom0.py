"""What dom0's kernel says of vifs, their threads, interrupts and queues."""

import json

import pytest
from hypothesis import given
from spoilt import mutated
from test_xl import CREDIT

from envs.errors import HostError
from envs.hosts.transport import Result
from envs.hosts.xen import dom0
from envs.hosts.xen.dom0 import Feed, Vif


def _read(files: dict[str, str]) -> Result:
    lines = [f"{path}\0{line}\n" for path, text in files.items() for line in text.splitlines()]
    return Result(argv=("grep",), rc=0, out="".join(lines))


def _thread(pid: int, name: str, parent: int = 2) -> dict[str, str]:
    status = f"Name:\tx\nPPid:\t{parent}\nCpus_allowed_list:\t0-1\n"
    return {f"/proc/{pid}/comm": f"{name}\n", f"/proc/{pid}/status": status}


def test_vifs_by_domain_and_device_with_the_guest_s_address() -> None:
    listed = (
        "/sys/bus/xen-backend/devices/vif-10-0/net/$(reboot)\n"
        "/sys/bus/xen-backend/devices/vif-2-1/net/vif2.1\n"
        "/local/domain/0/backend/vif/10/0/mac: 00:16:3E:00:00:0A\n"
    )
    assert dom0.vifs(listed) == (
        Vif(domid=2, device=1, name="vif2.1"),
        Vif(domid=10, device=0, name="$(reboot)", mac="00:16:3e:00:00:0a"),
    )


def test_a_process_that_only_bears_the_name_is_no_thread_of_netback() -> None:
    files = {**_thread(7, "vif1.0-q0-dealloc"), **_thread(8, "vif1.0-q0-dealloc", parent=1)}
    assert [feed.number for feed in dom0.threads(_read(files))] == [7]


def test_an_interrupt_that_several_share_is_left_alone() -> None:
    files = {
        **{f"/sys/kernel/irq/{n}/actions": "vif1.0-q0-tx" for n in (5, 6)},
        **{f"/proc/irq/{n}/smp_affinity_list": "0-1" for n in (5, 6, 7)},
        "/sys/kernel/irq/7/actions": "vif1.0-q1-rx",
    }
    assert dom0.irqs(_read(files)) == (
        Feed(thread=False, number=7, name="vif1.0-q1-rx", cores="0-1"),
    )


@pytest.mark.parametrize(
    ("name", "thread", "found"),
    [
        ("vif1.0-q0-guest-rx", True, [(0, "q0-guest-rx")]),
        ("vif1.0-q12-dealloc", True, [(12, "q12-dealloc")]),
        ("vif1.0-q0-guest", True, [(0, "q0-guest-rx")]),  # as kernels before 5.17 show it
        ("net-q0-guest-rx", True, [(0, "q0-guest-rx")]),  # a vif with another name
        ("vif1.01-q0-dealloc", True, []),
        ("vif1.0", False, [(0, "irq")]),
        ("vif1.0-q3-tx", False, [(3, "q3-tx")]),
        ("vif1.05", False, []),
        ("vif1.0-q0-tx2", False, []),
    ],
)
def test_feeds_belong_to_the_vif_they_are_named_after(
    name: str, thread: bool, found: list[tuple[int, str]]
) -> None:
    feed = Feed(thread=thread, number=9, name=name, cores="0")
    vif = Vif(domid=1, device=0, name="net" if name.startswith("net") else "vif1.0")
    assert [(queue, rest) for queue, rest, _ in dom0.feeds_of(vif, [feed])] == found


def test_only_a_pfifo_fast_obeys_txqueuelen() -> None:
    shown = [
        {"kind": "mq", "dev": "vif1.0", "root": True, "drops": 7},
        {"kind": "pfifo_fast", "dev": "vif1.0", "parent": ":1", "drops": 7},
        {"kind": "pfifo", "dev": "vif2.0", "root": True},
        {"kind": "ingress", "dev": "vif1.0"},
    ]
    found = dom0.queues(Result(argv=("tc",), rc=0, out=json.dumps(shown)))
    assert found["vif1.0"].obeys
    assert found["vif1.0"].drops == 7
    assert not found["vif2.0"].obeys
    found = dom0.queues(Result(argv=("tc",), rc=0, out=CREDIT["tc -j -s qdisc"]))
    assert found["vif1.0"].kinds == {"fq_codel"}


@given(mutated(CREDIT["tc -j -s qdisc"]))
def test_changed_output_of_tc_gives_an_error_or_what_it_says(text: str) -> None:
    try:
        found = dom0.queues(Result(argv=("tc",), rc=0, out=text))
    except HostError:
        return
    said = json.loads(text)
    assert found.keys() <= {qdisc["dev"] for qdisc in said}


def test_a_vif_without_an_address_is_a_vif_and_any_other_line_is_refused() -> None:
    path = "/sys/bus/xen-backend/devices/vif-2-1/net/vif2.1\n"
    assert dom0.vifs(path + "/local/domain/0/backend/vif/2/1/mac: \n")[0].mac == ""
    with pytest.raises(HostError, match="unexpected: '/sys/bus'"):
        dom0.vifs(path + "/sys/bus\n")
