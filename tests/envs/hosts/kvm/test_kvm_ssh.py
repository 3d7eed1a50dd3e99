"""A KVM host on another machine: the lab's, behind a real sshd, as ``qemu+ssh://``."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sshd
from kvm_lab import ONE, OTHER

from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.lab.machine import Machine
from envs.hosts.locate import open_host
from envs.hosts.ssh import SshTransport

pytestmark = [pytest.mark.kvm, pytest.mark.timeout(900)]


@pytest.fixture
def uri(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: KvmHost
) -> Iterator[str]:
    """The lab's URI; ``host`` sees that it is left as it was."""
    with sshd.running(tmp_path, machine.enter) as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        server.known_hosts.write_text(server.known_hosts.read_text().replace("127.0.0.1", "lab"))
        way = " ".join(machine.enter(["busybox", "nc", "127.0.0.1", str(server.port)]))
        (server.home / ".ssh" / "config").write_text(f"Host lab\n ProxyCommand {way}\n")
        yield f"qemu+ssh://root@lab:{server.port}/system"


def test_all_knobs_are_set_over_one_connection_and_put_back(uri: str) -> None:
    host = open_host(uri)
    assert isinstance(host, KvmHost)
    assert isinstance(host.transport, SshTransport)
    assert host.describe().uri == uri
    (vif,) = (guest.vifs[0] for guest in host.describe().guests if guest.name == "g1")
    found, snapshot = host.settings(), host.snapshot()
    target = msgspec.structs.replace(
        found,
        placement={k: (ONE,) if k.endswith("emulator") else (OTHER,) for k in found.placement},
        weight={**found.weight, "g1": 4096},
        tx_queue={**found.tx_queue, vif: 64},
        bridge="direct",
        side_cores=(ONE,),
    )
    host.apply(target)
    assert host.settings() == target
    while not host.measure(0.5).vifs[vif].inward.packets:
        pass  # TCP waits for seconds after a break
    host.restore(snapshot)
    assert host.snapshot() == snapshot
    host.close()
