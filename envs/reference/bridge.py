"""The bridge: where a packet goes, and whether there is room for it.

Its modes differ only in the work that a packet takes.
"""

from envs.host import BridgeMode
from envs.reference.machine import Machine, Port
from envs.reference.nic import Nic
from envs.reference.packets import Packet
from envs.reference.processor import Vcpu
from envs.scenario import Costs


def work(costs: Costs, mode: BridgeMode) -> float:
    """What the bridge does for a packet."""
    if mode == "direct":
        return costs.bridge_redirect
    hooks = costs.bridge_hooks + costs.bridge_snoop if mode == "stock" else 0.0
    return costs.bridge_lookup + hooks


class Bridge:
    """Forwards to the vifs' queues and to the uplink."""

    def __init__(self, machine: Machine, nic: Nic) -> None:
        self._machine = machine
        self._nic = nic
        # 2007's netback takes packets out of the queue for as long as the ring has room.
        self._through = machine.scenario.driver_domain.kind == "netback-2007"

    @staticmethod
    def target(packet: Packet) -> int | None:
        """The vif that a packet goes to, None for the uplink."""
        return packet.flow.source if packet.is_ack else packet.flow.sink

    def forward(self, packet: Packet, worker: Vcpu) -> Vcpu | None:
        """Pass a packet on, or drop it; gives who is still to be signalled that it came.

        That is for the end of the worker's batch; but a backend on another core is signalled as
        soon as half of what its queue takes is taken, so that it can make room in time.
        """
        vif = self.target(packet)
        if vif is None:
            self._nic.leave(packet)
            return None
        port = self._machine.ports[vif]
        if self.room(port) <= 0:
            port.inward.drops += 1
            packet.flow.lose(packet)
            return None
        port.queue.push(packet)
        if port.deliverer.core is worker.core or 2 * self.room(port) > self._most(port):
            return port.deliverer
        self._machine.notify(worker, port.deliverer)
        return None

    def room(self, port: Port) -> int:
        """Packets that the queue towards a guest still takes."""
        free = port.queue.limit - len(port.queue)
        return free + (port.rx_ring.free if self._through else 0)

    def _most(self, port: Port) -> int:
        """Packets that it takes when all is empty."""
        return port.queue.limit + (port.rx_ring.limit if self._through else 0)
