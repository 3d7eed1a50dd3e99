"""What a person is told where there is no Xen host to tune."""

from collections.abc import Sequence

import pytest
from test_xl import CREDIT, LISTED

from envs.errors import CommandFailed, HostError, InputError
from envs.host import Record
from envs.hosts.transport import NOT_FOUND, Result
from envs.hosts.xen import dom0, xl
from envs.hosts.xen.host import XenHost


class Answers(Record, frozen=True):
    """A transport that answers some commands, and fails the rest."""

    out: dict[tuple[str, ...], str]
    rc: int = 1
    err: str = "no such thing"

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:  # noqa: ARG002
        words = tuple(argv)
        if words in self.out:
            greps = words in (dom0.THREADS, dom0.IRQS)  # which find nothing here
            return Result(argv=words, rc=int(greps), out=self.out[words])
        return Result(argv=words, rc=self.rc, err=self.err)

    def run_all(
        self,
        commands: Sequence[Sequence[str]],
        *,
        timeout: float = 10.0,  # noqa: ARG002
    ) -> tuple[Result, ...]:
        return tuple(self.run(command) for command in commands)

    def close(self) -> None: ...


HEALTHY = {
    xl.INFO: CREDIT["xl info -n"],
    xl.POOLS: CREDIT["xl cpupool-list"],
    xl.POOL_CORES: CREDIT["xl cpupool-list -c"],
    xl.LIST: "\n".join(LISTED.splitlines()[:2]) + "\n",
    xl.VCPUS: "\n".join(CREDIT["xl vcpu-list"].splitlines()[:3]) + "\n",
    xl.weights_query("credit"): "\n".join(CREDIT["xl sched-credit"].splitlines()[:3]) + "\n",
    dom0.VIFS: "",
    dom0.LINKS: "[]",
    dom0.THREADS: "",
    dom0.IRQS: "",
    dom0.QDISCS: "[]",
}


def test_no_xl() -> None:
    with pytest.raises(HostError, match=r"^xen: there is no xl: it is no Xen host"):
        XenHost.open("xen:", Answers(out={}, rc=NOT_FOUND))


def test_no_hypervisor_or_no_right_to_ask_it() -> None:
    with pytest.raises(HostError, match=r"^xen: xl info: no such thing: is this dom0"):
        XenHost.open("xen:", Answers(out={}))


def test_a_transport_that_was_lent_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "close", lambda _: pytest.fail("it was closed"))
    with pytest.raises(HostError):
        XenHost.open("xen:", Answers(out={}))


@pytest.mark.parametrize("command", [xl.INFO, xl.POOLS, xl.POOL_CORES, xl.LIST])
def test_output_of_an_unknown_version_names_host_and_command(command: tuple[str, ...]) -> None:
    answers = Answers(out={**HEALTHY, command: "Version 9\n"})
    with pytest.raises(HostError, match=rf"^xen: {' '.join(command)} printed something unexp"):
        XenHost.open("xen:", answers)


def test_a_command_that_fails_is_named() -> None:
    without = {command: out for command, out in HEALTHY.items() if command != xl.VCPUS}
    with pytest.raises(CommandFailed, match=r"^xen: xl vcpu-list: no such thing"):
        XenHost.open("xen:", Answers(out=without)).describe()


def test_no_guests() -> None:
    with pytest.raises(HostError, match=r"^xen: no guest in pool 'Pool-0' has a vif"):
        XenHost.open("xen:", Answers(out=HEALTHY)).describe()


def test_a_snapshot_of_something_else() -> None:
    host = XenHost.open("xen:", Answers(out=HEALTHY))
    with pytest.raises(InputError, match=r"^xen: not a valid XenState"):
        host.restore(b"{}")


@pytest.mark.parametrize("uri", ["xen:x", "xen+tcp://h", "xen+ssh://", "xen+ssh://-oX@h"])
def test_a_wrong_uri(uri: str) -> None:
    with pytest.raises(InputError):
        XenHost.open(uri)
