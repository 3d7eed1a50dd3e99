"""What xl printed on three Xen hosts, and what else might be printed one day."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoilt import mutated

from envs.errors import HostError
from envs.hosts.xen import xl
from envs.hosts.xen.xl import Domain, Pool, Vcpu

PRINTED: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("printed.json").read_text(encoding="utf-8")
)
CREDIT, CREDIT2, PVH = (PRINTED[n] for n in ("credit-pv-smp4", "credit2-pv-smp2", "pvh-smp4"))
EVERYTHING = sorted({text for host in PRINTED.values() for text in host.values()})

LISTED = """\
Name                                        ID   Mem VCPUs	State	Time(s)   UUID                            Reason-Code	Security Label         Cpupool
Domain-0                                     0   512     2     r-----     202.5 00000000-0000-0000-0000-000000000000        -                -          Pool-0
$(reboot)                                    4    16     1     -b----       0.0 c72e7e5c-b78e-4ee5-a860-584c7b0b11bb        -                -          Pool-0
-x                                           5    16     1     -b----       0.0 de946770-f94f-436a-a466-c2b419d0e7cc        -                -          a b
sp  ace                                      8    16     0     --p---       0.0 a09086d8-5b1b-4c1b-8e3b-2f99cd95652e        -                -          Pool-0
käse                                         9    16     0     --p---       0.0 eac1dc03-cb4b-4718-a264-954c86f509b4        -                -          Pool-0
0                                           10    16     0     ---s-d       0.0 ef6a9270-4a4b-4596-8457-90b50c6afad9        -                -          Pool-0
(null)                                      11     0     1     --ps-d       0.8 ef6a9270-4a4b-4596-8457-90b50c6afad8        -                -          Pool-0
"""  # noqa: E501 - as printed
PINNED = """\
Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
1     0    2   -b-       9.9  7 / 7  3     0    2   -b-      21.9  0-1,3 / all
$(reboot)                            4     0    -   --p       0.0  0,2-3 / 1
"""


def test_vcpus_of_three_hosts() -> None:
    found = xl.vcpus(CREDIT["xl vcpu-list"])
    assert found[0] == Vcpu(domid=0, index=0, online=True, seconds=17.9, hard="all", soft="all")
    assert [(v.domid, v.index, v.online) for v in found] == [
        (0, 0, True),
        (0, 1, True),
        (1, 0, True),
        (1, 1, False),
        (2, 0, True),
        (2, 1, False),
    ]
    assert len(xl.vcpus(CREDIT2["xl vcpu-list"])) == 6
    assert xl.vcpus(PVH["xl vcpu-list"])[1].seconds == 45.0


def test_a_name_that_looks_like_a_row_is_a_name() -> None:
    first, second = xl.vcpus(PINNED)
    assert (first.domid, first.index, first.seconds, first.hard) == (3, 0, 21.9, "0-1,3")
    assert (second.domid, second.hard, second.soft) == (4, "0,2-3", "1")


def test_domains_are_known_by_number_and_uuid_whatever_their_names() -> None:
    found = xl.domains(LISTED)
    assert [domain.name for domain in found] == [
        *("Domain-0", "$(reboot)", "-x", "sp  ace", "käse", "0"),
    ]
    assert found[2] == Domain(
        domid=5, uuid="de946770-f94f-436a-a466-c2b419d0e7cc", name="-x", pool="a b"
    )


def test_a_row_that_comes_twice_is_refused() -> None:
    row = LISTED.splitlines()[2]
    with pytest.raises(HostError, match="domain 4 twice"):
        xl.domains(LISTED + row + "\n")
    with pytest.raises(HostError, match=r"VCPU \(4, 0\) twice"):
        xl.vcpus(PINNED + PINNED.splitlines()[2])


def test_a_name_with_a_newline_is_refused() -> None:
    with pytest.raises(HostError, match="unexpected: 'two'"):
        xl.domains(LISTED.replace("käse", "two\nlines"))


def test_weights_of_both_schedulers() -> None:
    assert xl.weights("credit", CREDIT["xl sched-credit"]) == {0: 256, 1: 256, 2: 256}
    assert xl.weights("credit2", CREDIT2["xl sched-credit2"]) == {0: 256, 1: 256, 2: 256}


def test_no_pool_with_that_scheduler_prints_nothing_and_is_an_error() -> None:
    assert CREDIT["xl sched-credit2"] == ""
    with pytest.raises(HostError, match="xl sched-credit2 printed something unexpected"):
        xl.weights("credit2", CREDIT["xl sched-credit2"])


def test_pools_and_their_cores() -> None:
    pool = Pool(name="Pool-0", scheduler="credit", cores=(0, 1, 2, 3))
    assert xl.pools(CREDIT["xl cpupool-list"], CREDIT["xl cpupool-list -c"]) == (pool,)
    several = (
        "Name               CPUs   Sched     Active   Domain count\n"
        "Pool-0               3    credit       y          3\n"
        "a b                  1   credit2       y          1\n"
        "empty                0    credit       y          0\n"
    )
    cores = (
        "Name               CPU list\n"
        "Pool-0             0,2,3\n"
        "a b                1\n"
        "empty              \n"
    )
    assert [(p.name, p.scheduler, p.cores) for p in xl.pools(several, cores)] == [
        ("Pool-0", "credit", (0, 2, 3)),
        ("a b", "credit2", (1,)),
        ("empty", "credit", ()),
    ]
    with pytest.raises(HostError, match="not 3 cores for pool 'Pool-0'"):
        xl.pools(several, cores.replace("0,2,3", "0,2"))


def test_the_topology_is_of_cores_that_are_online() -> None:
    assert [core.id for core in xl.topology(CREDIT["xl info -n"])] == [0, 1, 2, 3]
    two_sockets = """\
cpu_topology           :
cpu:    core    socket     node
  0:       0        0        0
  1:       0        0        0
  3:       1        0        0
  4:       0        1        1
device topology        :
"""
    cores = xl.topology(two_sockets)
    assert [(c.id, c.llc, c.node, c.sibling) for c in cores] == [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (3, 0, 0, 1),
        (4, 1, 1, 2),
    ]


@given(st.sets(st.integers(0, 70), min_size=1), st.integers(1, 71))
def test_an_affinity_is_written_as_xl_prints_it(cores: set[int], count: int) -> None:
    text = xl.as_affinity(cores, range(count))
    assert xl.core_list(text, range(count)) == tuple(sorted(cores))
    assert (text == "all") == (cores == set(range(count)))


PARSERS: dict[str, tuple[Callable[[str], object], Callable[[list[str]], object]]] = {
    "xl vcpu-list": (
        lambda text: [(v.domid, v.index, v.seconds, v.hard, v.soft) for v in xl.vcpus(text)],
        lambda row: (int(row[-8]), int(row[-7]), float(row[-4]), row[-3], row[-1]),
    ),
    "xl sched-credit": (
        lambda text: list(xl.weights("credit", text).items()),
        lambda row: (int(row[-3]), int(row[-2])),
    ),
}
"""A parser, and how a person would read a row of its input, from the right."""


@pytest.mark.parametrize("text", EVERYTHING)
def test_what_another_command_printed_is_refused(text: str) -> None:
    parsers: dict[str, Callable[[str], object]] = {
        "xl vcpu-list": xl.vcpus,
        "xl vcpu-list g1": xl.vcpus,
        "xl sched-credit": lambda text: xl.weights("credit", text),
        "xl sched-credit2": lambda text: xl.weights("credit2", text),
        "xl list -v -c": xl.domains,
        "xl info -n": xl.topology,
        "xl cpupool-list": lambda text: xl.pools(text, CREDIT["xl cpupool-list -c"]),
    }
    own = {command for host in PRINTED.values() for command, t in host.items() if t == text}
    for command, parse in parsers.items():
        if not any(_alike(command, other) for other in own):
            with pytest.raises(HostError):
                parse(text)


def _alike(one: str, other: str) -> bool:
    """Whether two commands print the same kind of table."""
    return [word.rstrip("2") for word in one.split()[:2]] == [
        word.rstrip("2") for word in other.split()[:2]
    ]


@pytest.mark.parametrize("command", PARSERS)
@given(data=st.data())
def test_a_changed_text_gives_an_error_or_what_it_says(command: str, data: st.DataObject) -> None:
    parse, read = PARSERS[command]
    text = data.draw(mutated(CREDIT[command]))
    try:
        found = parse(text)
    except HostError:
        return
    rows = [
        line for line in text.splitlines() if line and not line.startswith(("Name ", "Cpupool "))
    ]
    assert found == [read(line.split()) for line in rows]


@given(data=st.data())
def test_a_changed_topology_gives_an_error_or_what_it_says(data: st.DataObject) -> None:
    text = data.draw(mutated(CREDIT["xl info -n"]))
    try:
        cores = xl.topology(text)
    except HostError:
        return
    said = {int(words[0][:-1]) for words in map(str.split, text.splitlines()) if _is_row(words)}
    assert {core.id for core in cores} <= said


def _is_row(words: list[str]) -> bool:
    return len(words) == 4 and words[0].endswith(":") and words[0][:-1].isdecimal()
