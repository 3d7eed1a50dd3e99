"""What ``xl`` prints, read into plain values.

Names of domains and pools stand first in a row and may hold anything, so a row is read from its
end, and a name is only ever a label: a domain is known by its number. A line that is not a row is
an error, and so is a number that comes twice: what a newer version prints differently, or a name
with a newline in it, must not be taken for something else.

Formats: xl(1); ``tools/xl/xl_info.c``, ``xl_vcpu.c``, ``xl_sched.c`` and ``xl_cpupool.c`` of Xen.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from envs.host import Core, Record
from envs.hosts import linux
from envs.hosts.change import Command
from envs.hosts.unexpected import unexpected

LIST = ("xl", "list", "-v", "-c")
VCPUS = ("xl", "vcpu-list")
POOLS = ("xl", "cpupool-list")
POOL_CORES = ("xl", "cpupool-list", "-c")
INFO = ("xl", "info", "-n")

DOM0 = 0
"""The number of the first domain."""

SCHEDULERS: Mapping[str, str] = {"credit": "sched-credit", "credit2": "sched-credit2"}
"""The schedulers with a weight for each domain, and the subcommand that sets it."""

WEIGHTS = (1, 65535)
"""The weights that both take."""

_PARAMETERS = re.compile(r"Cpupool .*: .*")
"""The line of a scheduler's own parameters, above its domains."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_N = "[0-9]{1,18}"
_DOMAIN = re.compile(
    rf"(?P<name>.*?) +(?P<domid>{_N}) +{_N} +{_N} +[rbpscd-]{{6}} +{_N}\.[0-9] "
    rf"(?P<uuid>{_UUID}) +\S+ +\S+ +(?P<pool>.*)"
)
_VCPU = re.compile(
    rf".*? +(?P<domid>{_N}) +(?P<index>{_N}) +(?P<core>{_N}|-) +[r-][b-][p-] +"
    rf"(?P<seconds>{_N}\.[0-9]) +(?P<hard>[0-9,-]+|all) / (?P<soft>[0-9,-]+|all|none)"
)
_WEIGHT = re.compile(rf".*? +(?P<domid>{_N}) +(?P<weight>{_N}) +{_N}")
_POOL = re.compile(
    rf"(?P<name>.*?) +(?P<cpus>{_N}) +(?P<scheduler>[a-z]\w*) +(?P<active>[yn]) +{_N}"
)
_POOL_CORES = re.compile(r"(?P<name>.*?) +(?P<cores>[0-9][0-9,]*)?")
_CORE = re.compile(rf" *(?P<id>{_N}): +(?P<core>{_N}) +(?P<socket>{_N}) +(?P<node>{_N})")


class Domain(Record, frozen=True):
    """A domain: its number until it is gone, rebooted or migrated, and its UUID beyond that."""

    domid: int
    uuid: str
    name: str
    pool: str


class Vcpu(Record, frozen=True):
    """A VCPU: CPU seconds so far, and its hard and soft affinity as ``xl`` prints them.

    One that its guest has switched off is not ``online``.
    """

    domid: int
    index: int
    online: bool
    seconds: float
    hard: str
    soft: str


class Pool(Record, frozen=True):
    """A cpupool, the scheduler it runs, and its cores, ascending."""

    name: str
    scheduler: str
    cores: tuple[int, ...]

    @property
    def has_weights(self) -> bool:
        """Whether its scheduler gives each domain a weight."""
        return self.scheduler in SCHEDULERS


def domains(listed: str) -> tuple[Domain, ...]:
    """The domains out of what ``LIST`` printed; those that are dying have no name any more."""
    rows = _rows(LIST, listed, _DOMAIN, r"Name +ID .* UUID .* Cpupool")
    found = tuple(
        Domain(domid=int(r["domid"]), uuid=r["uuid"], name=r["name"], pool=r["pool"]) for r in rows
    )
    _once(LIST, "domain", (domain.domid for domain in found))
    return tuple(domain for domain in found if domain.name != "(null)")


def vcpus(listed: str) -> tuple[Vcpu, ...]:
    """All VCPUs out of what ``VCPUS`` printed."""
    rows = _rows(VCPUS, listed, _VCPU, r"Name +ID +VCPU .*\(Hard / Soft\)")
    found = tuple(
        Vcpu(
            domid=int(row["domid"]),
            index=int(row["index"]),
            online=row["core"] != "-",
            seconds=float(row["seconds"]),
            hard=row["hard"],
            soft=row["soft"],
        )
        for row in rows
    )
    _once(VCPUS, "VCPU", ((vcpu.domid, vcpu.index) for vcpu in found))
    return found


def weights_query(scheduler: str) -> Command:
    """The command that lists the weights of all pools with this scheduler."""
    return ("xl", SCHEDULERS[scheduler])


def weights(scheduler: str, listed: str) -> Mapping[int, int]:
    """The weight of each domain, by its number."""
    command = weights_query(scheduler)
    rows = list(_rows(command, listed, _WEIGHT, r"Name +ID +Weight +Cap"))
    _once(command, "domain", (row["domid"] for row in rows))
    return {int(row["domid"]): int(row["weight"]) for row in rows}


def pools(listed: str, with_cores: str) -> tuple[Pool, ...]:
    """The active pools out of what ``POOLS`` and ``POOL_CORES`` printed."""
    cores = {}
    for row in _rows(POOL_CORES, with_cores, _POOL_CORES, r"Name +CPU list"):
        cores[row["name"]] = core_list(row["cores"] or "", ())
    found = []
    for row in _rows(POOLS, listed, _POOL, r"Name +CPUs +Sched .*"):
        name = row["name"]
        if row["active"] == "y":
            if len(cores.get(name, ())) != int(row["cpus"]):
                raise unexpected(" ".join(POOL_CORES), f"not {row['cpus']} cores for pool {name!r}")
            found.append(Pool(name=name, scheduler=row["scheduler"], cores=cores[name]))
    _once(POOLS, "pool", (pool.name for pool in found))
    return tuple(found)


def topology(info: str) -> tuple[Core, ...]:
    """All cores that are online, out of what ``INFO`` printed.

    Xen tells of cores, sockets and nodes, not of caches: a socket on a node is taken to share its
    last-level cache.
    """
    lines = iter(info.splitlines())
    found: list[tuple[int, int, int, int]] = []
    for line in lines:
        if line.startswith("cpu_topology"):
            next(lines, None)
            break
    for line in lines:
        row = _CORE.fullmatch(line)
        if row is None:
            break
        found.append((int(row["id"]), int(row["core"]), int(row["socket"]), int(row["node"])))
    if not found:
        raise unexpected(" ".join(INFO), "no cores")
    _once(INFO, "core", (row[0] for row in found))
    caches = _numbered((socket, node) for _, _, socket, node in found)
    physical = _numbered((socket, core) for _, core, socket, _ in found)
    return tuple(
        Core(id=i, llc=caches[socket, node], node=node, sibling=physical[socket, core])
        for i, core, socket, node in sorted(found)
    )


def field(info: str, name: str) -> str:
    """A field of ``INFO``, empty where it is not there."""
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def core_list(text: str, every: Iterable[int]) -> tuple[int, ...]:
    """The cores of an affinity as ``xl`` prints it: ``all`` (then ``every``), ``0,2-3``."""
    if text == "all":
        return tuple(sorted(every))
    return linux.core_list(text, "xl")


def as_affinity(cores: Iterable[int], every: Iterable[int]) -> str:
    """Cores as ``xl`` prints them, and takes them: ``all`` or runs such as ``0,2-3``."""
    wanted = sorted(set(cores))
    if wanted == sorted(every):
        return "all"
    runs: list[list[int]] = []
    for core in wanted:
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _rows(
    command: Sequence[str], listed: str, row: re.Pattern[str], header: str
) -> Iterator[dict[str, Any]]:
    """Every row. A line that is none, nor a header, is of a version or a name unknown to us."""
    lines = listed.splitlines()
    headed = False
    for line in lines:
        if re.fullmatch(header, line):
            headed = True
        elif match := row.fullmatch(line) if headed else None:
            yield match.groupdict()
        elif not _PARAMETERS.fullmatch(line):
            raise unexpected(" ".join(command), line)
    if not headed:
        raise unexpected(" ".join(command), "nothing")


def _once(command: Sequence[str], what: str, keys: Iterable[object]) -> None:
    seen: set[object] = set()
    for key in keys:
        if key in seen:
            raise unexpected(" ".join(command), f"{what} {key} twice")
        seen.add(key)


def _numbered(keys: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], int]:
    return {key: number for number, key in enumerate(sorted(set(keys)))}
