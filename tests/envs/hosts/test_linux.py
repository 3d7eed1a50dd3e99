"""What Linux prints, read. The texts were printed by a 2-core machine of kernel 6.18."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from envs.host import Core, Traffic
from envs.hosts import linux

STAT = (
    "5818 (python) R 5800 5800 5800 0 -1 4194560 1370 0 0 0 61 262 0 0 20 0 1 0 176377 13508608"
    " 2614 18446744073709551615 94117513564160 94117513564161 140721 0 0 0 0 16781312 1 0 0 0 17"
    " 1 0 0 0 0 0 94117513576872 94117513577472 94118 140721 140721 140721 140721 0\n"
)
PROC_STAT = """\
cpu  106153 0 46024 241340 213 0 8301 0 0 0
cpu0 52814 0 23317 120322 103 0 4227 0 0 0
cpu1 53338 0 22706 121018 109 7 4073 0 0 0
intr 17023 0 0
ctxt 3213
softirq 1 2 3
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  vif1:  203378    3081    0    2    0     0          0         0 388655646    6013    0   17    0     0       0          0
"""  # noqa: E501 - as printed


def test_topology_is_read_with_the_last_level_cache_and_only_allowed_cores() -> None:
    text = "# CPU,Core,Socket,Node,,L1d,L1i,L2,L3\n0,0,0,0,,0,0,0,0\n1,1,0,0,,1,1,1,0\n"
    assert linux.topology(text, [0, 1]) == (
        Core(id=0, llc=0, node=0, sibling=0),
        Core(id=1, llc=0, node=0, sibling=1),
    )
    assert [core.id for core in linux.topology(text, [1])] == [1]


def test_topology_without_caches_takes_a_socket_for_a_cache_domain() -> None:
    assert linux.topology("4,2,1,,,,,,\n", [4]) == (Core(id=4, llc=1, node=0, sibling=2),)


def test_topology_in_the_older_form_of_lscpu() -> None:
    assert linux.topology("3,1,0,1,3:3:1:7\n", [3])[0] == Core(id=3, llc=7, node=1, sibling=1)


def test_a_core_without_the_last_level_cache_that_others_have_shares_none() -> None:
    first, second, third, fourth = linux.online(
        "0,0,0,0,0:0:0:0\n4,4,0,0,8:8:0:0\n20,14,0,0,64:64:8\n21,15,0,0,66:66:8\n"
    )
    assert first.llc == second.llc == 0
    assert len({first.llc, third.llc, fourth.llc}) == 3


def test_no_core_at_all_is_an_error() -> None:
    with pytest.raises(HostError, match="none of the cores"):
        linux.topology("0,0,0,0,,0,0,0,0\n", [5])


@given(cores=st.sets(st.integers(0, 1023), min_size=1))
def test_a_list_of_cores_goes_there_and_back(cores: set[int]) -> None:
    assert linux.core_list(linux.as_list(cores)) == tuple(sorted(cores))


def test_ranges_of_cores_are_read() -> None:
    assert linux.core_list("0-2,5,7-8\n") == (0, 1, 2, 5, 7, 8)


def test_nodes_that_cannot_be_read_are_not_called_cores() -> None:
    assert linux.memory_nodes("Mems_allowed_list:\t0-1\n") == (0, 1)
    with pytest.raises(HostError, match="status printed a list that cannot be read"):
        linux.memory_nodes("Mems_allowed_list:\t1-0")


def test_a_process_has_exact_time_where_schedstat_is_there() -> None:
    found = linux.task(STAT, "3254071234 12 99\n")
    assert (found.pid, found.state, found.start) == (5818, "R", 176377)
    assert found.cpu == pytest.approx(3.254071234)


def test_a_process_has_jiffies_elsewhere() -> None:
    assert linux.task(STAT).cpu == pytest.approx(3.23)


@given(name=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15))
def test_the_name_of_a_process_cannot_disturb_the_fields(name: str) -> None:
    assert linux.task(STAT.replace("(python)", f"({name})")) == linux.task(STAT)


def test_affinity_is_read_from_the_status() -> None:
    status = "Name:\tpython\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n"
    assert linux.affinity(status) == (0, 1)
    with pytest.raises(HostError):
        linux.affinity("Name:\tpython\n")


def test_core_times_leave_idle_and_iowait_out() -> None:
    times = linux.core_times(PROC_STAT)
    assert set(times) == {0, 1}
    assert times[1].busy == pytest.approx((53338 + 22706 + 7 + 4073) / 100)
    assert times[1].softirq == pytest.approx(40.73)


def test_what_a_vif_sends_goes_towards_the_guest() -> None:
    port = linux.interfaces(NET_DEV)["vif1"]
    assert port.inward == Traffic(bytes=388655646, packets=6013, drops=17)
    assert port.outward == Traffic(bytes=203378, packets=3081, drops=2)


@pytest.mark.parametrize("name", ["a\u3000b", "a\u2003", "\x1f", "$(reboot)", "-x;'\""])
def test_an_interface_has_whatever_name_the_kernel_allows(name: str) -> None:
    assert linux.interfaces(NET_DEV.replace("vif1", name)).keys() == {"lo", name}


def test_interrupt_time_is_in_task_time_unless_the_kernel_says_otherwise() -> None:
    assert linux.softirq_in_tasks("")
    assert not linux.softirq_in_tasks("CONFIG_IRQ_TIME_ACCOUNTING=y\n")
