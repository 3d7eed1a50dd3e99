"""The simulated host once more, packet by packet, on SimPy: written to be read, not to be fast.

It runs the same scenarios as ``envs.sim`` and gives the same samples, and shares no mechanism with
it, so that where both agree it means something. Read ``packets``, ``memory``, ``processor`` and
``scheduler`` for what a host is made of, then ``traffic``, ``nic``, ``bridge``, ``backend`` and
``guest`` for a packet's way, and ``host`` for how it is put together. Times are nanoseconds, sizes
bytes.
"""
