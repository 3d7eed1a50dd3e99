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

KNOWN = "sim:SCENARIO, lab:NAME, qemu:///system, kvm:, xen: (or qemu+ssh://user@host/system etc.)"


def open_host(uri: str, *, bypass_filters: bool = False) -> Host:
    """The host that ``uri`` names, ready to be described, set and measured.

    ``bypass_filters``: on a live host, bridge modes may skip what filters frames on the bridge.
    Raises InputError for a URI that names no host, HostError where the host cannot be reached.
    """
    scheme, colon, rest = uri.partition(":")
    kind = scheme.partition("+")[0] if colon else ""
    if kind == "sim" == scheme:
        return _simulated(uri, rest)
    if kind == "lab" == scheme:
        return _lab(rest, bypass_filters)
    if kind in ("qemu", "kvm"):
        return _kvm(uri, bypass_filters)
    if kind == "xen":
        return _xen(uri, bypass_filters)
    raise InputError(f"{uri!r} names no host: use {KNOWN}")


def _simulated(uri: str, rest: str) -> Host:
    name, question, query = rest.partition("?")
    key, _, value = query.partition("=")
    if not name or (question and (key != "seed" or not value.isascii() or not value.isdigit())):
        raise InputError(f"{uri!r}: write sim:SCENARIO or sim:SCENARIO?seed=NUMBER")
    from envs.scenario import load  # noqa: PLC0415 (see above)
    from envs.sim.host import SimHost  # noqa: PLC0415

    return SimHost(load(name), seed=int(value or 0))


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
