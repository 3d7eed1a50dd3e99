"""What a backend does: take packets from the NIC, deliver to guests, collect from guests.

Each duty is two functions: the first takes a batch, and gives how many packets there are to handle
now and what that costs; the second, when that time is over, lets it take effect.
"""

from envs.sim import bridge, cache, fifo, latency, nic, traffic
from envs.sim.compiled import compiled, lowest
from envs.sim.notify import notify
from envs.sim.state import (
    ACK,
    COLLECT,
    DELIVER,
    GUEST_RECEIVE,
    NIC_RECEIVE,
    Segment,
    State,
    Vcpu,
)


@compiled
def receive(s: State, me: int, c: int, vif: int) -> tuple[int, float]:
    """Take packets from the NIC's ring, at most a batch: its driver, the bridge, the headers."""
    q = s.vif[vif].nic_queue
    first = fifo.head(s, q, 0)
    most = min(s.batch, s.queue[q].packets)
    most = bridge.burst(s, me, c, first.flow, first.kind, most)
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
        _head_for(s, me, part)
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
    s.vcpu[me].toward = 0
    _rouse(s, me, bridge.forward(s, q, packets, -1, s.now, 0.0)[0])
    if s.queue[q].packets == 0:
        s.waiting[NIC_RECEIVE] &= ~vifs


@compiled
def _head_for(s: State, me: int, part: Segment) -> None:
    """Note which vif packets that are being handled go to."""
    vif = bridge.destination(s, part.flow, part.kind)
    if vif >= 0:
        s.vcpu[me].toward |= 1 << vif
        s.coming |= 1 << vif


@compiled
def catch_up(s: State, vifs: int) -> None:
    """Forward what other cores have handled by now of batches that go to ``vifs``.

    Packets go on one by one, but an activation takes effect at its end; or, as here, when somebody
    looks who would see them.
    """
    left, coming = s.working, 0
    while left:
        c = lowest(left)
        left &= left - 1
        i = s.core[c].run
        if s.vcpu[i].toward & vifs:
            _catch_up(s, i, c)
        coming |= s.vcpu[i].toward
    s.coming = coming


@compiled
def _catch_up(s: State, i: int, c: int) -> None:
    v = s.vcpu[i]
    began = max(v.begun, v.productive)
    share = (s.now - began) / max(1.0, s.until[c] - began)
    packets = min(v.packets - 1, int(v.packets * share))
    if packets <= 0:
        return
    v.packets -= packets
    v.begun = s.now
    duty = s.duty[v.duty]
    if duty.kind == COLLECT:
        reached = _send_on(s, v, c, packets, began, (s.now - began) / packets)
    else:
        reached, _ = bridge.forward(s, s.vif[duty.item].nic_queue, packets, -1, s.now, 0.0)
    _rouse(s, i, bridge.pressed(s, reached))


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

    What leaves the host passes the NIC's driver as well. A batch may take several activations, and
    nothing else is done between them.
    """
    v = s.vcpu[me]
    left, n, cost = v.unfinished, 0, 0.0
    if left == 0:
        left, cost = vifs & s.waiting[COLLECT], s.backend_batch
    v.serving = left
    v.unfinished = 0
    while left:
        vif = lowest(left)
        left &= left - 1
        packets, more = _collect(s, me, c, vif)
        n += packets
        cost += more
        if s.vif[vif].rest > 0:
            v.unfinished |= 1 << vif
    return n, cost


@compiled
def _collect(s: State, me: int, c: int, vif: int) -> tuple[int, float]:
    port = s.vif[vif]
    ring, most = s.queue[port.tx_ring], port.rest
    if most == 0:
        most = min(s.batch, ring.packets)
        port.ring_was_full = 2 * ring.slots > ring.limit
    port.rest = 0
    n, k, cost, free = 0, 0, 0.0, fifo.BATCH_BYTES
    while n < most:
        part = fifo.head(s, port.tx_ring, k)
        whole = fifo.share(s, part, most - n, free)
        count = min(whole, bridge.burst(s, me, c, part.flow, part.kind, most) - n)
        if count < whole:
            port.rest = most - n - max(0, count)
        if count <= 0:
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
        _head_for(s, me, part)
        n += count
        if count < part.packets:
            break
        free -= size
        k += 1
    port.collecting = n
    return n, cost + n * (s.backend_packet + s.bridge)


@compiled
def collected(s: State, me: int, c: int) -> None:
    """Forward, and tell guests that waited for room in their rings."""
    v = s.vcpu[me]
    v.toward = 0
    gap = (s.now - v.begun) / v.packets
    reached = _send_on(s, v, c, v.packets, v.begun, gap)
    _rouse(s, me, bridge.pressed(s, reached) if v.unfinished else reached)
    left = v.serving & ~v.unfinished
    while left:
        vif = lowest(left)
        left &= left - 1
        port = s.vif[vif]
        if s.queue[port.tx_ring].packets == 0:
            s.waiting[COLLECT] &= ~(1 << vif)
        if port.ring_was_full:
            notify(s, me, port.receiver)


@compiled
def _send_on(s: State, v: Vcpu, c: int, packets: int, began: float, gap: float) -> int:
    """Forward the first packets of an activation; gives whom they reached, as ``forward`` does."""
    copier = c if s.copies_transmit else -1
    left, reached = v.serving, 0
    while left:
        port = s.vif[lowest(left)]
        left &= left - 1
        count = min(packets, port.collecting)
        if count > 0:
            some, moved = bridge.forward(s, port.tx_ring, count, copier, began, gap)
            port.out_packets += count
            port.out_bytes += moved
            port.collecting -= count
            reached |= some
            packets -= count
            began += gap * count
    return reached
