"""Every parser, given what real hosts printed and what else might be printed one day."""

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers import PARSERS, PRINTED, Parser, said
from spoilt import mutated

from envs.errors import HostError
from envs.hosts import iproute, linux
from envs.hosts.xen import dom0, xl


def names(text: str, key: str = "ifname") -> set[str]:
    """The interfaces in JSON of ip, bridge or tc."""
    return {entry[key] for entry in json.loads(text)}


def rows(text: str, first: str = "") -> list[list[str]]:
    """The words of each line that begins as told."""
    return [line.split() for line in text.splitlines() if line.strip().startswith(first)]


def bridge_s_own(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    seen = [entry["mac"] for entry in json.loads(text) if "self" not in entry["flags"]]
    return [entry.mac for entry in iproute.entries(text)], seen


def hooks_and_queues(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    hooked = {q["dev"] for q in json.loads(text) if q["kind"] in ("ingress", "clsact")}
    read = set(dom0.queues(said(text))), set(iproute.with_ingress(text))
    return read, (names(text, "dev"), hooked)


def filters_of_others(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    read = [iproute.filters("vif", line, range(7200, 7456)) for line in text.splitlines()]
    return [(found.redirects, found.others) for found in read], [((), 1)] * 2


def bytes_of_each(text: str, texts: Mapping[str, str]) -> tuple[object, object]:
    ports = linux.interfaces(text)
    assert set(ports) == names(texts["ip -j -d link"])
    read = {f"{name}:": (p.outward.bytes, p.inward.bytes) for name, p in ports.items()}
    return read, {row[0]: (int(row[1]), int(row[9])) for row in rows(text)[2:]}


def all_cores_together(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    total = [int(word) for word in rows(text, "cpu ")[0][1:]]
    read = sum(core.busy for core in linux.core_times(text).values())
    return read, pytest.approx(sum(total[:3] + total[5:7]) / linux.JIFFIES, abs=0.1)


def cpu_seconds(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    read = [(vcpu.domid, vcpu.index, vcpu.seconds) for vcpu in xl.vcpus(text)]
    return read, [(int(row[1]), int(row[2]), float(row[5])) for row in rows(text)[1:]]


def weights(text: str, texts: Mapping[str, str]) -> tuple[object, object]:
    scheduler = "credit" if text == texts.get("xl sched-credit") else "credit2"
    read = xl.weights(scheduler, text) if text else {}
    return read, {int(row[1]): int(row[2]) for row in rows(text)[2:]}


def the_pool(_: str, texts: Mapping[str, str]) -> tuple[object, object]:
    (pool,) = xl.pools(texts["xl cpupool-list"], texts["xl cpupool-list -c"])
    (about,) = rows(texts["xl cpupool-list"], "Pool-0")
    (cores,) = rows(texts["xl cpupool-list -c"], "Pool-0")
    read = (pool.name, str(len(pool.cores)), pool.scheduler, linux.as_list(pool.cores))
    return read, (*about[:3], cores[1])


def as_many_cores_as_it_says(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    return len(xl.topology(text)), int(xl.field(text, "nr_cpus"))


def interfaces(text: str, _: Mapping[str, str]) -> tuple[object, object]:
    return set(iproute.links(text)), names(text)


READ: Mapping[str, Callable[[str, Mapping[str, str]], tuple[object, object]]] = {
    "ip -j -d link": interfaces,
    "ip -j -s -s -d link": interfaces,
    "bridge -j -d link": interfaces,
    "bridge -j -s fdb": bridge_s_own,
    "tc -j -s qdisc": hooks_and_queues,
    "tc -j -s qdisc  # tc-qdisc-json": hooks_and_queues,
    "for v in $(cd /sys/class/net; ls -d vif*); do tc -j -s filter show dev $v ingress; done": (
        filters_of_others
    ),
    "cat /proc/net/dev": bytes_of_each,
    "cat /proc/stat": all_cores_together,
    "xl vcpu-list": cpu_seconds,
    "xl vcpu-list g1": cpu_seconds,
    "xl sched-credit": weights,
    "xl sched-credit2": weights,
    "xl cpupool-list": the_pool,
    "xl cpupool-list -c": the_pool,
    "xl info -n": as_many_cores_as_it_says,
}
"""What our parsers read in what a command printed, and what a person reads there."""

EVERYTHING = [(host, command) for host, texts in PRINTED.items() for command in texts]


@pytest.mark.parametrize(("host", "command"), EVERYTHING)
def test_what_a_real_host_printed_is_read_as_a_person_reads_it(host: str, command: str) -> None:
    """By the parsers that are for it; each of the others refuses it in one line, or answers."""
    text = PRINTED[host][command]
    if command in READ:
        read, seen = READ[command](text, PRINTED[host])
        assert read == seen
    for parse, _ in PARSERS.values():
        assert complaint(parse, text).isprintable()


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=20, derandomize=True)
@given(data=st.data())
def test_whatever_is_printed_is_an_answer_or_one_clear_line(name: str, data: st.DataObject) -> None:
    parse, text = PARSERS[name]
    assert parse(text) is not None
    for printed in ("", data.draw(mutated(text))):
        assert complaint(parse, printed).isprintable()


def complaint(parse: Parser, text: str) -> str:
    """Why a parser refuses a text, empty where it does not."""
    try:
        parse(text)
    except HostError as error:
        return str(error)
    return ""
