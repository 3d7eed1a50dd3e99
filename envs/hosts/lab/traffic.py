"""A VCPU of a guest, or a machine outside: endless TCP bulk flows, large sends.

Run as a script with the standard library alone, inside its network namespace:

    traffic.py guest|outside LISTEN [CONNECT ...]        each ADDRESS:PORT

It receives whatever arrives at LISTEN and sends without end to every CONNECT. A flow that breaks,
because its peer or the path was restarted, is begun again. A guest copies what it sends and
receives, as an application does. The outside stands for another machine but has to share our
cores, so it is made as cheap as it can be: it sends pages without copying them, and discards
what it receives unread.
"""

import contextlib
import os
import selectors
import socket
import sys
import time

SIZE = 256 * 1024
"""One send or receive: larger than any TSO frame, so the stack always has a whole one to build."""
TURN = 4
"""Sends or receives of one flow before the next has its turn."""
RETRY = 0.2
"""Seconds before a broken flow is begun again."""

Address = tuple[str, int]


class Flows:
    """All flows of one process, in one loop."""

    def __init__(self, listen: Address, connect: list[Address], *, outside: bool) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(listen, backlog=64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._buffer = bytearray(SIZE)
        self._flags = socket.MSG_TRUNC if outside else 0  # tcp(7): discard, do not copy
        self._pages = os.memfd_create("pages") if outside else None
        if self._pages is not None:
            os.write(self._pages, self._buffer)
        self._due: list[tuple[float, Address]] = [(0.0, address) for address in connect]

    def run(self) -> None:
        """Carry on for ever."""
        while True:
            self._begin()
            for key, events in self._selector.select(RETRY if self._due else None):
                sock = key.fileobj
                if not isinstance(sock, socket.socket):
                    continue
                if sock is self._listener:
                    self._accept()
                elif events & selectors.EVENT_WRITE:
                    self._send(sock, key.data)
                else:
                    self._receive(sock)

    def _begin(self) -> None:
        now = time.monotonic()
        ready = [address for due, address in self._due if due <= now]
        self._due = [(due, address) for due, address in self._due if due > now]
        for address in ready:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.connect_ex(address)
            self._selector.register(sock, selectors.EVENT_WRITE, address)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)

    def _send(self, sock: socket.socket, address: Address) -> None:
        try:
            for _ in range(TURN):
                if self._pages is None:
                    sock.send(self._buffer)
                else:
                    os.sendfile(sock.fileno(), self._pages, 0, SIZE)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(sock)
            self._due.append((time.monotonic() + RETRY, address))

    def _receive(self, sock: socket.socket) -> None:
        try:
            for _ in range(TURN):
                if not sock.recv_into(self._buffer, SIZE, self._flags):
                    self._drop(sock)
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()


def address(text: str) -> Address:
    """``ADDRESS:PORT`` as a pair."""
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    ends = [address(text) for text in sys.argv[2:]]
    Flows(ends[0], ends[1:], outside=sys.argv[1] == "outside").run()
