"""Commands on another machine, over one SSH connection that stays open.

Hosts, users, ports, keys, agents and jump hosts are what OpenSSH's configuration says; the host
key must be known. Where the login is not root, commands run through ``sudo -n``.

The line that the login shell sees is always the same; the commands follow on standard input, for
``sh`` alone to read. So neither an exotic login shell nor the limit on the length of a command
line matters, and nothing of the commands shows in the host's list of processes. ``timeout`` runs
on the host, so that a command that hangs ends there, too, and nothing after it is begun.
"""

import asyncio
import getpass
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from envs.errors import CommandFailed, HostError, InputError, Unprivileged
from envs.host import Record
from envs.hosts import framing
from envs.hosts.transport import LocalTransport, Result, Transport

try:
    import asyncssh
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise InputError(
        "hosts over SSH need asyncssh: pip install '.[ssh]' where viotune's sources are"
    ) from error

CONNECT_SECONDS = 60.0
"""How long connecting and logging in may take, jump hosts included; a busy host takes its time."""
GRACE = 15.0
"""Seconds beyond a command's own limit until the link itself is taken to be broken."""
KEEPALIVE = 5.0
"""Seconds of silence after which the other side is asked whether it is still there."""
KEEPALIVES = 6
"""How often it is asked in vain until the link is taken to be broken."""

_RUNNER = """sh -c 'eval "$(head -c "$0")"' {size}"""
_SUDO_LINE = "ALL=(root) NOPASSWD: /usr/bin/timeout"
_TIMED_OUT = (124, 128 + 9, -9)
"""How ``timeout`` ends when it has ended the rest, itself included."""

T = TypeVar("T")


class Address(Record, frozen=True):
    """Where a host is: the name (or an alias of the SSH configuration), and what was said of it."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return (f"{self.user}@" if self.user else "") + name + port


def address(uri: str) -> Address:
    """The machine in ``scheme+ssh://user@host:port/…``. Raises InputError."""
    try:
        parts = urlsplit(uri)
        host, user, port = parts.hostname, parts.username, parts.port
    except ValueError as error:
        raise InputError(f"{uri!r} cannot be read: {error}") from None
    if not host or parts.password:
        raise InputError(f"{uri!r}: write {parts.scheme}://user@host:port/ (without a password)")
    if host.startswith("-") or (user or "").startswith("-"):
        raise InputError(f"{uri!r}: a host or user does not begin with a dash")
    return Address(host=host, user=user, port=port)


def reach(uri: str) -> Transport:
    """The transport to the machine that a host's URI names: this one, unless it says ``+ssh``.

    Raises InputError for another way of transport, HostError where the machine cannot be reached.
    """
    scheme = uri.partition(":")[0]
    _, plus, way = scheme.partition("+")
    if not plus:
        return LocalTransport()
    if way != "ssh":
        raise InputError(f"{uri!r}: hosts are reached by +ssh or not at all, not by +{way}")
    return SshTransport(address(uri))


class SshTransport:
    """Runs commands on another machine. The event loop has a thread of its own.

    A connection that breaks is opened anew by the next command; what was under way is not
    repeated, for nobody knows how far it came.
    """

    def __init__(self, where: Address, configuration: Sequence[Path] | None = None) -> None:
        """Connect, log in and find out whether sudo is needed.

        ``configuration``: files as ssh_config(5) has them, instead of the user's and the machine's.
        Raises HostError where that cannot be, Unprivileged where sudo wants a password.
        """
        self.where = where
        self._configuration = _configuration() if configuration is None else configuration
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"ssh to {where}", daemon=True
        )
        self._thread.start()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sudo = False
        try:
            self._gain_root()
        except BaseException:
            self.close()
            raise

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        """Run one command there. See ``Transport.run``."""
        return self._batch([tuple(argv)], stdin, timeout)[0]

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        """Run commands there, in one round trip. See ``Transport.run_all``."""
        words = [tuple(argv) for argv in commands]
        return self._batch(words, b"", timeout) if words else ()

    def hang_up(self) -> None:
        """Close the connection; the next command opens another."""
        self._await(self._goodbye())

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive():
            self.hang_up()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _gain_root(self) -> None:
        identity = self.run(("id", "-u"))
        if identity.rc != 0:
            raise HostError(f"{self.where}: no POSIX shell answers there: {identity.err.strip()}")
        if identity.out.strip() == "0":
            return
        self._sudo = True
        try:
            self.run(("true",))
        except CommandFailed as error:
            user = self.where.user or getpass.getuser()
            raise Unprivileged(
                f"{self.where}: not root there, and sudo -n does not work ({error}); "
                f"log in as root, or add to sudoers: {user} {_SUDO_LINE}"
            ) from error

    def _batch(
        self, commands: Sequence[framing.Argv], stdin: bytes, timeout: float
    ) -> tuple[Result, ...]:
        mark = framing.new_mark()
        text = framing.script(commands, mark, reads_stdin=bool(stdin))
        limit = f"timeout -s KILL {timeout:.3f} "  # SIGTERM would end the shell, not what it runs
        line = ("sudo -n " if self._sudo else "") + limit + _RUNNER.format(size=len(text))
        rc, out, err = self._await(self._send(line, text + stdin, timeout))
        if rc in _TIMED_OUT:
            named = ", ".join(dict.fromkeys(argv[0] for argv in commands))
            raise CommandFailed(f"{self.where}: {named} took longer than {timeout:g} s")
        try:
            return framing.results(commands, mark, out, err)
        except CommandFailed as error:
            raise CommandFailed(f"{self.where}: {error}") from None

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _send(self, line: str, text: bytes, timeout: float) -> tuple[int, bytes, bytes]:  # noqa: ASYNC109 - it bounds the far side; asyncio.timeout bounds this one
        connection = await self._connected()
        try:
            async with asyncio.timeout(timeout + GRACE):
                done = await connection.run(line, input=text, encoding=None)
        except TimeoutError:
            self._drop()
            raise CommandFailed(f"{self.where}: no answer for {timeout + GRACE:g} s") from None
        except (asyncssh.Error, OSError) as error:
            self._drop()
            raise CommandFailed(f"{self.where}: the connection broke: {error}") from error
        if done.returncode is None:
            self._drop()
            raise CommandFailed(f"{self.where}: the connection broke before the command ended")
        return done.returncode, _raw(done.stdout), _raw(done.stderr)

    async def _goodbye(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            await connection.wait_closed()
        await asyncio.sleep(0)  # the loop lets go of the socket in its next turn

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _connected(self) -> "asyncssh.SSHClientConnection":
        if self._connection is None or self._connection.is_closed():
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._connection = await _connect(self.where, self._configuration)
            except (asyncssh.Error, OSError, ValueError) as error:
                raise HostError(_why_not(self.where, error)) from error
        return self._connection


def _raw(printed: bytes | str | None) -> bytes:
    """What a command printed: bytes, as no encoding was asked for; asyncssh's type allows more."""
    return printed if isinstance(printed, bytes) else (printed or "").encode()


async def _connect(where: Address, configuration: Sequence[Path]) -> "asyncssh.SSHClientConnection":
    """A connection as OpenSSH would make it, without ever asking anything of a person."""
    config = [str(path) for path in configuration if path.is_file()]
    said = {"username": where.user, "port": where.port}
    options = await asyncssh.SSHClientConnectionOptions.construct(
        config=config,
        host=where.host,
        keepalive_interval=KEEPALIVE,
        keepalive_count_max=KEEPALIVES,
        connect_timeout=CONNECT_SECONDS,
        password=None,
        kbdint_auth=False,
        **{key: value for key, value in said.items() if value is not None},
    )
    if options.known_hosts is None:
        raise ValueError("UserKnownHostsFile none would accept any host key: name a file")
    return await asyncssh.connect(where.host, options=options, config=config)


def _configuration() -> tuple[Path, ...]:
    """The user's and the machine's configuration; what the first says counts, as in ssh(1)."""
    return (Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config"))


def _why_not(where: Address, error: Exception) -> str:
    """Why there is no connection, and what to do about it, in one line."""
    by_hand = "ssh " + (f"-p {where.port} " if where.port else "")
    by_hand += (f"{where.user}@" if where.user else "") + where.host
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return f"{where}: its host key is not known, or is another one now; check: {by_hand}"
        case asyncssh.PermissionDenied():
            return f"{where} refused the login; check the user and the key: {by_hand}"
        case asyncssh.KeyImportError() | asyncssh.KeyEncryptionError():
            return f"{where}: a key cannot be used ({error}); give it to an agent: ssh-add"
        case TimeoutError():
            return f"cannot reach {where}: no answer within {CONNECT_SECONDS:g} s"
        case OSError() | asyncssh.Error():
            return f"cannot reach {where}: {' '.join(str(error).split())}"
        case _:
            return f"{where}: the SSH configuration cannot be used: {error}"
