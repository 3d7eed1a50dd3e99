"""A host by its URI: the one place that knows every kind of host.

    sim:NAME?seed=N     a simulated host: a shipped scenario, or the path of a scenario file
    lab:NAME            a lab on this machine; ``lab:`` is the lab named default

The kinds are imported when they are asked for: a lab needs no compiler, a simulation no network.
"""

from envs.errors import InputError
from envs.host import Host

KNOWN = "sim:SCENARIO, lab:NAME"
PLANNED = ("qemu", "xen")


def open_host(uri: str) -> Host:
    """The host that ``uri`` names, ready to be described, set and measured.

    Raises InputError for a URI that names no host, HostError where the host cannot be reached.
    """
    scheme, colon, rest = uri.partition(":")
    if colon and scheme == "sim":
        return _simulated(uri, rest)
    if colon and scheme == "lab":
        return _lab(rest)
    if colon and scheme.partition("+")[0] in PLANNED:
        raise InputError(f"{uri}: {scheme} hosts are not supported by this version; use {KNOWN}")
    raise InputError(f"{uri!r} names no host: use {KNOWN}")


def _simulated(uri: str, rest: str) -> Host:
    name, question, query = rest.partition("?")
    key, _, value = query.partition("=")
    if not name or (question and (key != "seed" or not value.isascii() or not value.isdigit())):
        raise InputError(f"{uri!r}: write sim:SCENARIO or sim:SCENARIO?seed=NUMBER")
    from envs.scenario import load  # noqa: PLC0415 (see above)
    from envs.sim.host import SimHost  # noqa: PLC0415

    return SimHost(load(name), seed=int(value or 0))


def _lab(name: str) -> Host:
    from envs.hosts.lab.host import LabHost  # noqa: PLC0415

    return LabHost.open(name or "default")
