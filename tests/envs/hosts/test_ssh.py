"""Commands on another machine: a real sshd, on loopback."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sshd
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import CommandFailed, HostError, InputError
from envs.hosts import framing
from envs.hosts.ssh import Address, SshTransport, address, reach
from envs.hosts.transport import NOT_FOUND, LocalTransport, output, read_files

pytestmark = pytest.mark.ssh
HOSTILE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def _home(server: sshd.Sshd) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(server.home))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield


@pytest.fixture(scope="module")
def remote(server: sshd.Sshd, _home: None) -> Iterator[SshTransport]:
    transport = SshTransport(Address(host="127.0.0.1", port=server.port))
    yield transport
    transport.close()


def test_a_command_gives_what_it_printed_and_its_return_code(remote: SshTransport) -> None:
    result = remote.run(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=b"given\0\n")
    assert (result.rc, result.out, result.err) == (3, "given\0\n", "oops\n")
    assert remote.run(["no-such-program"]).rc == NOT_FOUND


def test_commands_that_travel_together_each_have_their_own_result(remote: SshTransport) -> None:
    fails = ["sh", "-c", "printf 'a\n\nb'; printf no >&2; exit 3"]
    results = remote.run_all([["echo", "one"], fails, ["cat"], ["no-such-program"], ["echo", "-n"]])
    assert [r.rc for r in results] == [0, 3, 0, NOT_FOUND, 0]
    assert [r.out for r in results] == ["one\n", "a\n\nb", "", "", ""]
    assert results[1].err == "no"
    assert remote.run_all([]) == ()


def test_a_batch_longer_than_a_command_line_may_be_travels_too(remote: SshTransport) -> None:
    text = "x" * 50_000
    results = remote.run_all([["printf", "%s", text]] * 8)
    assert [r.out for r in results] == [text] * 8


@settings(max_examples=25, deadline=None)
@given(arguments=st.lists(HOSTILE, max_size=4))
def test_an_argument_stays_one_argument(remote: SshTransport, arguments: list[str]) -> None:
    given_here = LocalTransport().run(["printf", "<%s>", *arguments])
    there = remote.run(["printf", "<%s>", *arguments])
    assert there == given_here


@settings(max_examples=50, deadline=None)
@given(
    told=st.lists(
        st.tuples(st.integers(0, 255), st.binary(max_size=30), st.binary(max_size=30)),
        min_size=1,
        max_size=4,
    )
)
def test_any_bytes_may_stand_between_two_marks(told: list[tuple[int, bytes, bytes]]) -> None:
    out = b"".join(o + f"\nMARK {rc}\n".encode() for rc, o, _ in told)
    err = b"".join(e + b"\nMARK\n" for _, _, e in told)
    got = framing.results([("x",)] * len(told), "MARK", out, err)
    expected = [(rc, o.decode(errors="replace"), e.decode(errors="replace")) for rc, o, e in told]
    assert [(r.rc, r.out, r.err) for r in got] == expected


def test_a_script_that_ended_early_gives_no_results() -> None:
    with pytest.raises(CommandFailed, match="ended before its commands: sudo: a password"):
        framing.results([("id",)], "MARK", b"", b"sudo: a password is required\n")


def test_a_file_with_a_strange_name_is_read(remote: SshTransport, tmp_path: Path) -> None:
    path = tmp_path / "it's a; $(reboot) \n file"
    path.write_text("one\ntwo\n")
    assert output(remote, ["cat", str(path)]) == "one\ntwo\n"
    assert read_files(remote, ["/proc/self/comm"]) == {"/proc/self/comm": "grep\n"}


def test_what_takes_too_long_ends_on_the_host_and_nothing_after_it_begins(
    remote: SshTransport, tmp_path: Path
) -> None:
    pid, after = tmp_path / "pid", tmp_path / "after"
    hangs = ["sh", "-c", f"echo $$ >{pid}; exec tail -f /dev/null"]
    with pytest.raises(CommandFailed, match=r"sh, touch took longer than 5 s"):
        remote.run_all([hangs, ["touch", str(after)]], timeout=5)
    with suppress(OSError):  # it has been waited for as well
        while ") Z " not in Path(f"/proc/{pid.read_text().strip()}/stat").read_text():
            time.sleep(0.01)
    assert not after.exists()
    assert output(remote, ["echo", "still there"]) == "still there\n"


def test_what_does_not_heed_its_time_limit_is_said_to_have_exceeded_it(
    remote: SshTransport,
) -> None:
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    with pytest.raises(CommandFailed, match=r"sh took longer than 1 s"):
        remote.run(deaf, timeout=1)


def test_one_connection_serves_all_and_a_broken_one_is_opened_anew(
    server: sshd.Sshd, remote: SshTransport
) -> None:
    def session() -> str:
        return output(remote, ["sh", "-c", "echo $SSH_CONNECTION"])

    before = session()
    assert session() == before
    (serving,) = server.sessions()
    with pytest.raises(CommandFailed, match="connection broke"):
        remote.run(["kill", str(serving)])
    assert session() != before


def test_a_host_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(HostError, match=r"^cannot reach 127\.0\.0\.1:1: .*[Cc]onnect"):
        SshTransport(Address(host="127.0.0.1", port=1))
    with pytest.raises(HostError, match=r"^cannot reach no-such-host\.invalid: "):
        SshTransport(Address(host="no-such-host.invalid"))


@pytest.mark.parametrize("known", ["", "other"])
def test_an_unknown_or_changed_host_key_is_refused(server: sshd.Sshd, known: str) -> None:
    right = server.known_hosts.read_text()
    wrong = server.key.with_suffix(".pub").read_text()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {wrong}" if known else "")
    try:
        with pytest.raises(HostError, match=r"host key is not known, .*check: ssh -p \d+ 127"):
            SshTransport(Address(host="127.0.0.1", port=server.port))
    finally:
        server.known_hosts.write_text(right)


def test_no_configuration_turns_the_check_of_the_host_key_off(server: sshd.Sshd) -> None:
    config = server.home / ".ssh" / "config"
    config.write_text("UserKnownHostsFile none\nStrictHostKeyChecking no\n")
    try:
        with pytest.raises(HostError, match="would accept any host key"):
            SshTransport(Address(host="127.0.0.1", port=server.port))
    finally:
        config.unlink()


def test_a_refused_login_is_one_clear_line(server: sshd.Sshd) -> None:
    where = Address(host="127.0.0.1", port=server.port, user="nobody")
    with pytest.raises(HostError, match=r"^nobody@127.*refused the login; check .*: ssh -p"):
        SshTransport(where)


def test_names_users_keys_and_jump_hosts_are_those_of_the_configuration(
    server: sshd.Sshd,
) -> None:
    elsewhere = server.home / "key"
    server.key.rename(elsewhere)
    config = server.home / ".ssh" / "config"
    config.write_text(
        f"Host far\n HostName 127.0.0.1\n Port {server.port}\n ProxyJump near\n"
        f"Host near\n HostName 127.0.0.1\n Port {server.port}\n"
        f"Host *\n User {server.user}\n IdentityFile {elsewhere}\n"
    )
    try:
        transport = SshTransport(Address(host="far"))
        assert output(transport, ["echo", "through"]) == "through\n"
        transport.close()
    finally:
        config.unlink()
        elsewhere.rename(server.key)


def test_a_user_who_is_not_root_works_through_sudo(
    server: sshd.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's shell is given an ``id`` and a ``sudo`` of ours: no user has to be made."""
    log = tmp_path / "log"
    for name, text in {
        "id": "echo 1000",
        "sudo": f'printf "%s\\n" "$*" >>{log}; shift; exec "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    key = server.key.with_suffix(".pub").read_text()
    allowed = server.home.parent / "authorized_keys"
    force = f'command="PATH={tmp_path}:$PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"" {key}'
    before = allowed.read_text()
    allowed.write_text(force)
    try:
        transport = SshTransport(Address(host="127.0.0.1", port=server.port))
        assert output(transport, ["echo", "as root"]) == "as root\n"
        transport.close()
    finally:
        allowed.write_text(before)
    assert all(line.startswith("-n timeout ") for line in log.read_text().splitlines())


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("qemu+ssh://root@h:2222/system", Address(host="h", user="root", port=2222)),
        ("xen+ssh://h", Address(host="h")),
        ("xen+ssh://[fe80::1]:22/", Address(host="fe80::1", port=22)),
    ],
)
def test_a_machine_in_a_uri(uri: str, expected: Address) -> None:
    assert address(uri) == expected


@pytest.mark.parametrize(
    "uri",
    ["xen+ssh:///x", "xen+ssh://u:secret@h/", "xen+ssh://-oProxyCommand=x/", "xen+ssh://h:http/"],
)
def test_a_uri_without_a_machine_is_refused(uri: str) -> None:
    with pytest.raises(InputError):
        address(uri)


def test_other_ways_than_ssh_are_refused() -> None:
    with pytest.raises(InputError, match=r"not by \+tls"):
        reach("qemu+tls://host/system")
    assert isinstance(reach("qemu:///system"), LocalTransport)


def test_nothing_of_a_command_is_seen_in_the_host_s_list_of_processes(
    remote: SshTransport,
) -> None:
    shown = output(remote, ["sh", "-c", "ps -ww -o args= -p $PPID; : secret-word"])
    assert "secret-word" not in shown


def test_an_ordinary_key_agent_serves(server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    key, agent = server.home / "agent-key", server.home / "agent"
    server.key.rename(key)
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as process:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
            while subprocess.run(["ssh-add", "-q", key], check=False).returncode:
                assert process.poll() is None
            transport = SshTransport(Address(host="127.0.0.1", port=server.port))
            assert output(transport, ["echo", "in"]) == "in\n"
            transport.close()
        finally:
            process.terminate()
            key.rename(server.key)
