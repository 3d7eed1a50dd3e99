"""A Xen host inside QEMU, for whoever has no server to try it on: emulated, so slow, but real."""

from envs.hosts.xen.lab.machine import PROGRAMS, Kind, Machine, missing, up

__all__ = ["PROGRAMS", "Kind", "Machine", "missing", "up"]
