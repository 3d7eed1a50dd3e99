"""A Linux host with QEMU guests, run by libvirt or by anything else.

``site`` finds what is there, ``state`` says what a setting makes of it, ``steps`` are the commands
in between, ``counters`` the telemetry, and ``host`` is the contract over all of them. ``lab`` is
such a host to try things on.
"""
