"""A host by its URI."""

import pytest

from envs.errors import InputError
from envs.hosts.locate import open_host


@pytest.mark.parametrize("uri", ["", "sim", "lab", "foo:bar", "/etc/passwd", "SIM:stock"])
def test_what_names_no_host_is_refused_with_what_is_known(uri: str) -> None:
    with pytest.raises(InputError, match=r"names no host: use sim:SCENARIO, lab:NAME"):
        open_host(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:system",
        "qemu:///",
        "qemu:///embed?root=/tmp",
        "qemu://[/system",
        "qemu+ssh://host/system?keyfile=k",
        "qemu:///system?socket=/x",
        "kvm:///system",
        "kvm://host/x",
        "kvm:guest",
    ],
)
def test_what_of_libvirt_s_uris_means_no_host_here_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match=r"write qemu:///system or qemu\+ssh://user@host:port/sys"):
        open_host(uri)


@pytest.mark.parametrize("uri", ["qemu+tcp://host/system", "kvm+tls://host", "xen+tcp://host"])
def test_hosts_are_reached_by_ssh_alone(uri: str) -> None:
    with pytest.raises(InputError, match=r"\+ssh"):
        open_host(uri)


@pytest.mark.parametrize("query", ["?", "?seed", "?seed=", "?seed=x", "?seed=-1", "?speed=1"])
def test_a_simulated_host_takes_a_seed_and_nothing_else(query: str) -> None:
    with pytest.raises(InputError, match=r"sim:SCENARIO\?seed=NUMBER"):
        open_host(f"sim:any{query}")


def test_a_simulated_host_needs_a_scenario() -> None:
    with pytest.raises(InputError, match="sim:SCENARIO"):
        open_host("sim:")
