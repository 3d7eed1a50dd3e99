"""What a backend does: take packets from the NIC, deliver to guests, collect from guests.

Each duty is two functions: the first takes a batch, and gives how many packets there are to handle
now and what that costs; the second, when that time is over, lets it take effect.
"""

from envs.sim import bridge, cache, fifo, latency, nic, traffic
from envs.sim.compiled import compiled, lowest
from envs.sim.notify import notify
from envs.sim.state import ACK, COLLECT, DELIVER, GUEST_RECEIVE, NIC_RECEIVE, State, Vcpu


@compiled
def receive(s: State, me: int, c: int, vif: int) -> tuple[int, float]:
    """Take packets from the NIC's ring, at most a batch: its driver, the bridge, the headers."""
    q = s.vif[vif].nic_queue
    first = fifo.head(s, q, 0)
    most = min(s.batch, s.queue[q].packets)
    most = bridge.burst(s, me, c, first, most, s.nic_packet + s.bridge)
    n, k, cost, free = 0, 0, 0.0, fifo.BATCH_BYTES
    while n < most:
        part = fifo.head(s, q, k)
        count = fifo.share(s, part, most - n, free)
        size = fifo.bytes_of(part, count)
        wires = max(float(count), size / s.mtu)
        cost += wires * s.nic_packet + count * s.bridge
        headers = wires * s.header_bytes
        cost += cache.read(s, c, NIC_RECEIVE, headers, part)
        cache.fill(s, c, headers)
        n += count
        if count < part.packets:
            break
        free -= size
        k += 1
    return n, cost


@compiled
def received(s: State, me: int, vif: int, vifs: int, packets: int) -> None:
    """Forward, and rouse the backends that have got something to deliver."""
    q = s.vif[vif].nic_queue
    _rouse(s, me, bridge.forward(s, q, packets, -1, s.now, 0.0))
    if s.queue[q].packets == 0:
        s.waiting[NIC_RECEIVE] &= ~vifs


@compiled
def _rouse(s: State, me: int, reached: int) -> None:
    if reached >> 62 & 1:
        nic.arm(s)
    vifs = reached & ~(1 << 62)
    while vifs:
        notify(s, me, s.vif[lowest(vifs)].deliverer)
        vifs &= vifs - 1


@compiled
def deliver(s: State, v: Vcpu, c: int, vifs: int) -> tuple[int, float]:
    """Hand packets from the vifs' queues to guests whose rings have room, at most a batch each.

    One hypercall for all, and for each packet its grants and the copy, or the exchange of pages.
    """
    n, cost, left = 0, s.backend_batch, vifs & s.waiting[DELIVER]
    v.serving = 0
    while left:
        vif = lowest(left)
        left &= left - 1
        packets, more = _deliver(s, c, vif)
        if packets > 0:
            s.vif[vif].delivering = packets
            v.serving |= 1 << vif
            n += packets
            cost += more
    return n, cost


@compiled
def _deliver(s: State, c: int, vif: int) -> tuple[int, float]:
    q, ring = s.vif[vif].queue, s.queue[s.vif[vif].rx_ring]
    slots, most = ring.limit - ring.slots, min(s.batch, s.queue[q].packets)
    n, k, cost, free = 0, 0, 0.0, fifo.BATCH_BYTES
    while n < most:
        part = fifo.head(s, q, k)
        count = fifo.share(s, part, most - n, free)
        each = fifo.slots_each(part.kind, part.packets, part.size)
        if each * count > slots:
            count = slots // each
        if count == 0:
            break
        size = fifo.bytes_of(part, count)
        cost += size * s.backend_byte + fifo.pages(count, size) * s.backend_page
        touched = min(size, count * s.header_bytes) if s.flips else size
        cost += cache.read(s, c, DELIVER, touched, part)
        cache.fill(s, c, touched)
        if s.runs_guest_stack:
            cost += count * traffic.stack_cost(s, part)
        n += count
        if count < part.packets:
            break
        slots -= each * count
        free -= size
        k += 1
    return n, cost + n * s.backend_packet


@compiled
def delivered(s: State, me: int, c: int) -> None:
    """Put the packets into the rings: here the host's last queue ends. Tell the guests."""
    left = s.vcpu[me].serving
    while left:
        vif = lowest(left)
        left &= left - 1
        _delivered(s, me, c, vif, s.vif[vif].delivering)


@compiled
def _delivered(s: State, me: int, c: int, vif: int, packets: int) -> None:
    port = s.vif[vif]
    clock = cache.llc_clock(s, s.core[c].llc)
    port.in_packets += packets
    while packets > 0:
        first = fifo.head(s, port.queue, 0)
        count = min(packets, first.packets)
        size, f, kind = fifo.split(s, port.queue, count), first.flow, first.kind
        born, at, own, llc = first.born, c, s.core[c].touched, clock
        if s.flips:
            at, own, llc = first.core, first.core_clock, first.llc_clock
        fifo.drop_head(s, port.queue, count, size)
        fifo.push(s, port.rx_ring, f, kind, count, size, at, born, own, llc)
        s.latency[latency.class_of(s.now - born)] += count
        if kind == ACK:
            port.in_bytes += count * fifo.ACK_BYTES
        else:
            port.in_bytes += size
            s.flow[f].delivered += size
        packets -= count
    s.waiting[GUEST_RECEIVE] |= 1 << vif
    if s.queue[port.queue].packets == 0:
        s.waiting[DELIVER] &= ~(1 << vif)
    notify(s, me, port.receiver)


@compiled
def collect(s: State, me: int, c: int, vifs: int) -> tuple[int, float]:
    """Map or copy packets from the guests' transmit rings, at most a batch each, and bridge them.

    What leaves the host passes the NIC's driver as well.
    """
    n, cost, left = 0, s.backend_batch, vifs & s.waiting[COLLECT]
    s.vcpu[me].serving = left
    while left:
        vif = lowest(left)
        left &= left - 1
        packets, more = _collect(s, me, c, vif)
        n += packets
        cost += more
    return n, cost


@compiled
def _collect(s: State, me: int, c: int, vif: int) -> tuple[int, float]:
    port = s.vif[vif]
    q, most = port.tx_ring, min(s.batch, s.queue[port.tx_ring].packets)
    n, k, cost, total, free = 0, 0, 0.0, 0.0, fifo.BATCH_BYTES
    while n < most:
        part = fifo.head(s, q, k)
        each = s.backend_packet + s.bridge + s.backend_page
        if s.copies_transmit:
            each += fifo.bytes_of(part, part.packets) / part.packets * s.backend_byte
        burst = bridge.burst(s, me, c, part, most, each)
        count = fifo.share(s, part, max(0, burst - n), free)
        if count == 0:
            break
        size = fifo.bytes_of(part, count)
        touched = size
        cost += fifo.pages(count, size) * s.backend_page
        if s.copies_transmit:
            cost += size * s.backend_byte
        else:
            touched = min(size, count * s.header_bytes)
        cost += cache.read(s, c, COLLECT, touched, part)
        cache.fill(s, c, touched)
        if bridge.destination(s, part.flow, part.kind) < 0:
            cost += max(float(count), size / s.mtu) * s.nic_packet
        n += count
        total += size
        if count < part.packets:
            break
        free -= size
        k += 1
    port.collecting, port.collecting_bytes = n, int(total)
    return n, cost + n * (s.backend_packet + s.bridge)


@compiled
def collected(s: State, me: int, c: int) -> None:
    """Forward, and tell guests that waited for room in their rings."""
    v = s.vcpu[me]
    left, at, gap = v.serving, v.begun, (s.now - v.begun) / v.packets
    copier = c if s.copies_transmit else -1
    while left:
        vif = lowest(left)
        left &= left - 1
        port = s.vif[vif]
        ring = s.queue[port.tx_ring]
        was_full = 2 * ring.slots > ring.limit
        port.out_packets += port.collecting
        port.out_bytes += port.collecting_bytes
        _rouse(s, me, bridge.forward(s, port.tx_ring, port.collecting, copier, at, gap))
        at += gap * port.collecting
        if ring.packets == 0:
            s.waiting[COLLECT] &= ~(1 << vif)
        if was_full:
            notify(s, me, port.receiver)
