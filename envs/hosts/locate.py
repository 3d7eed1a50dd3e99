"""A host by its URI: the one place that knows every kind of host.

    sim:NAME?seed=N                         a simulated host: a shipped scenario, or a file's path
    lab:NAME                                a lab on this machine; ``lab:`` is the one named default
    lab:kvm, lab:xen                        the emulated labs of this machine
    qemu:///system                          QEMU guests that this machine's libvirt runs
    qemu+ssh://user@host:port/system        those of another machine
    kvm:, kvm+ssh://user@host:port          QEMU guests that anything else runs
    xen:, xen+ssh://user@host:port          the guests of Xen, here or there

The kinds are imported when they are asked for: a lab needs no compiler, a simulation no network.
"""

from envs.errors import InputError
from envs.host import Host
from envs.hosts import emulated

KINDS = ("lab", "qemu", "kvm", "xen", "sim")
KNOWN = "sim:SCENARIO, lab:NAME, qemu:///system, kvm:, xen: (or qemu+ssh://user@host/system etc.)"


def open_host(uri: str, *, bypass_filters: bool = False) -> Host:
    """The host that ``uri`` names, ready to be described, set and measured.

    ``bypass_filters``: on a live host, bridge modes may skip what filters frames on the bridge.
    Raises InputError for a URI that names no host, HostError where the host cannot be reached.
    """
    check(uri)
    match kind_of(uri):
        case "sim":
            return _simulated(uri)
        case "lab":
            return _lab(uri.partition(":")[2], bypass_filters)
        case "xen":
            return _xen(uri, bypass_filters)
        case _:
            return _kvm(uri, bypass_filters)


def kind_of(uri: str) -> str:
    """The kind of host that a URI means: one of ``KINDS``, if it means any."""
    return uri.partition(":")[0].partition("+")[0]


def check(uri: str) -> None:
    """Raise InputError where a URI can name no host, without reaching for it."""
    scheme, colon, name = uri.partition(":")
    _, plus, way = scheme.partition("+")
    kind = kind_of(uri)
    if not colon or kind not in KINDS or not uri.isprintable():
        raise InputError(f"{uri!r} names no host: use {KNOWN}")
    if plus and (way != "ssh" or kind in ("lab", "sim")):
        by = "or not at all" if kind in ("lab", "sim") else "by +ssh or not at all"
        raise InputError(f"{uri!r}: {kind} hosts are not reached by +{way}, {by}")
    if plus:
        from envs.hosts.ssh import address  # noqa: PLC0415 (see above)

        address(uri)
    match kind:
        case "sim":
            from envs.scenario import load  # noqa: PLC0415

            load(_scenario(uri)[0])
        case "lab" if name and name not in emulated.KINDS:
            from envs.hosts.lab.config import check_name  # noqa: PLC0415

            check_name(name)
        case "qemu" | "kvm":
            from envs.hosts.kvm.host import libvirt_of  # noqa: PLC0415

            libvirt_of(uri)
        case "xen" if not plus and name:
            raise InputError(f"{uri!r}: write xen: or xen+ssh://user@host:port")


def _scenario(uri: str) -> tuple[str, int]:
    """The scenario and the seed in the URI of a simulated host."""
    name, question, query = uri.partition(":")[2].partition("?")
    key, _, value = query.partition("=")
    number = value.isascii() and value.isdigit() and len(value) < 19
    if not name or (question and (key != "seed" or not number)):
        raise InputError(f"{uri!r}: write sim:SCENARIO or sim:SCENARIO?seed=NUMBER")
    return name, int(value or 0)


def _simulated(uri: str) -> Host:
    from envs.scenario import load  # noqa: PLC0415 (see above)
    from envs.sim.host import SimHost  # noqa: PLC0415

    name, seed = _scenario(uri)
    return SimHost(load(name), seed=seed)


def _lab(name: str, bypass_filters: bool) -> Host:
    if name in emulated.KINDS:
        return emulated.lab_of(name).host(bypass_filters=bypass_filters)
    from envs.hosts.lab.host import LabHost  # noqa: PLC0415

    return LabHost.open(name or "default", bypass_filters=bypass_filters)


def _kvm(uri: str, bypass_filters: bool) -> Host:
    from envs.hosts.kvm.host import KvmHost  # noqa: PLC0415

    return KvmHost.open(uri, bypass_filters=bypass_filters)


def _xen(uri: str, bypass_filters: bool) -> Host:
    from envs.hosts.xen.host import XenHost  # noqa: PLC0415

    return XenHost.open(uri, bypass_filters=bypass_filters)
