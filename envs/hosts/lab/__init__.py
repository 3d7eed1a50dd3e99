"""The lab: a paravirtual network path in this kernel, for anyone with /dev/net/tun.

Guests are network namespaces, their backends user-space relays between taps, the driver domain a
namespace with a bridge. ``manage`` makes and removes labs, ``host`` controls one like any host.
"""
