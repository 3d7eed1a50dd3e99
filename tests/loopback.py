"""A port on loopback for a server that is yet to be started."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def port() -> Iterator[int]:
    """A port that nobody else is given while the block lasts.

    It is bound, and not listened at: so the kernel gives it to no other program by chance, and one
    that sets SO_REUSEADDR, as servers do, can still bind it (``inet_csk_get_port`` in
    ``net/ipv4/inet_connection_sock.c``).
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
