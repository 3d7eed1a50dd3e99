"""Network and user namespaces of this process, and taps made inside them.

The C library is called through ctypes because ``os.unshare`` and ``os.setns`` came with Python
3.12. Sources: namespaces(7), user_namespaces(7), ``Documentation/networking/tuntap.rst``.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_OFFLOADS = 0x01 | 0x02 | 0x04
"""Checksum, TSO over IPv4, TSO over IPv6: what a virtio guest negotiates; frames reach 64 KiB."""

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this process into new namespaces. Raises OSError."""
    _call(_libc.unshare(flags), "unshare")


def become_root_of_user_namespace() -> None:
    """Move this process into a user namespace in which it is root, mapped to the user it was.

    Must be called from a process with a single thread. Raises OSError.
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def new_network() -> int:
    """A new network namespace, as a descriptor that keeps it; this process stays where it is."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        unshare(CLONE_NEWNET)
        return os.open("/proc/self/ns/net", os.O_RDONLY)
    finally:
        enter_network(home)
        os.close(home)


def enter_network(descriptor: int) -> None:
    """Move this process into a network namespace. Raises OSError."""
    _call(_libc.setns(descriptor, CLONE_NEWNET), "setns")


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Be in a network namespace for a while."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter_network(descriptor)
    try:
        yield
    finally:
        enter_network(home)
        os.close(home)


def open_tap(name: str) -> int:
    """A tap in the network namespace of this process, as a descriptor that keeps it.

    It carries the offload header of virtio, so that a whole TSO frame crosses in one read.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _OFFLOADS)
    return descriptor


def die_with_parent(parent: int, signal_number: int) -> None:
    """Be sent a signal when ``parent`` ends; exit at once if it already has."""
    _call(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def _call(outcome: int, what: str) -> None:
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
