"""Xen hosts: read and set through ``xl`` and dom0's kernel.

``xl`` and ``dom0`` read what is printed, ``site`` and ``reading`` put it together, ``state`` says
what a setting means, ``steps`` how to get there, ``counters`` what happened meanwhile. Only
``host`` touches a machine.
"""
