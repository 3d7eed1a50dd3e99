"""A host by its URI."""

import pytest

from envs.errors import InputError
from envs.hosts.locate import open_host


@pytest.mark.parametrize("uri", ["", "sim", "lab", "foo:bar", "/etc/passwd", "SIM:stock"])
def test_what_names_no_host_is_refused_with_what_is_known(uri: str) -> None:
    with pytest.raises(InputError, match=r"names no host: use sim:SCENARIO, lab:NAME"):
        open_host(uri)


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://me@host/system", "xen:"])
def test_hosts_of_later_versions_are_refused_as_such(uri: str) -> None:
    with pytest.raises(InputError, match="not supported by this version"):
        open_host(uri)


@pytest.mark.parametrize("query", ["?", "?seed", "?seed=", "?seed=x", "?seed=-1", "?speed=1"])
def test_a_simulated_host_takes_a_seed_and_nothing_else(query: str) -> None:
    with pytest.raises(InputError, match=r"sim:SCENARIO\?seed=NUMBER"):
        open_host(f"sim:any{query}")


def test_a_simulated_host_needs_a_scenario() -> None:
    with pytest.raises(InputError, match="sim:SCENARIO"):
        open_host("sim:")
