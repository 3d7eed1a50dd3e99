"""A host across a network: its lock, journal and watchdog are there, and outlive the link."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd
from expiry import expire
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost

from envs.errors import HostBusy, HostError
from envs.hosts.ssh import Address, SshTransport
from tuner import state
from tuner.journal import JOURNAL, decode, standing
from tuner.transaction import transaction

pytestmark = pytest.mark.ssh

LONGER = replace(FOUND, tx_queue={"vif1": 1000, "vif2": 1000})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path / "sshd") as started:
        monkeypatch.setenv("HOME", str(started.home))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield started


@pytest.fixture
def host(server: sshd.Sshd, tmp_path: Path) -> Iterator[StumblingHost]:
    """A host whose knobs are a file: only its state is reached by SSH."""
    found = StumblingHost(tmp_path / "there")
    found.uri = f"xen+ssh://127.0.0.1:{server.port}"
    found.transport = SshTransport(Address(host="127.0.0.1", port=server.port))
    yield found
    found.transport.close()


def test_a_setting_is_confirmed_and_the_journal_is_there_and_here(
    host: StumblingHost, tmp_path: Path
) -> None:
    with state.held(host) as held, transaction(held, "test") as trial:
        trial.apply(LONGER)
        with pytest.raises(HostBusy), state.held(host):
            pass
        trial.confirm()
    assert host.now == LONGER
    there = (tmp_path / "there" / JOURNAL).read_text()
    (here,) = (tmp_path / "here").rglob(JOURNAL)
    assert here.read_text() == there
    assert len(standing(decode(there, "there")).generations) == 1


def test_a_host_that_cannot_be_reached_any_more_puts_itself_back(
    host: StumblingHost, server: sshd.Sshd
) -> None:
    def cut() -> None:
        for pid in (server.pid, *server.sessions()):
            os.kill(pid, signal.SIGKILL)

    def tune() -> None:
        with state.held(host, confirm_within=1000) as held, transaction(held, "test") as trial:
            trial.apply(LONGER)
            assert host.now == LONGER
            cut()
            expire(host.state_dir)
            while host.now != FOUND:
                pass
            trial.measure(1.0)

    with pytest.raises(HostError):
        tune()
    assert host.now == FOUND
