"""What the parts of a host cost, and the constants of its scheduler.

The defaults are a Xen host of 2008 on Core 2 class cores at 2.66 GHz. A scenario overrides what
differs. Where a value was read in source code or measured, the field says so; the others are
estimates from memory (marked *estimate*) and are here, by name, so that a study can sweep them.
None of them is a result: no field says what a placement or a queue length gains.
"""

from typing import Literal

from msgspec.structs import replace

from envs.host import Record

SchedulerKind = Literal["credit-2008", "credit", "credit2", "fair"]


class Scheduler(Record, frozen=True):
    """A core scheduler and its constants; times in milliseconds.

    ``credit-2008`` is Xen 3.x's credit scheduler: 100 credits are debited from whoever runs at a
    tick. ``credit`` is the one since 2009: exact debit by time run, and a minimum run before a
    wake-up may preempt. ``credit2`` is Xen's default since 2018: a run queue for each node, credit
    that running burns, nobody boosted; the slice does not matter to it. ``fair`` is Linux's
    weighted fair scheduler, for KVM hosts. Tick, slice, accounting period, 100 credits a tick and
    the clamp at 300 are those of ``xen/common/sched_credit.c``.

    ``wake_us`` is the time from a wake-up to the first instruction on an idle core (estimate);
    ``switch_us`` the processor time of one switch between VCPUs (estimate).
    """

    kind: SchedulerKind = "credit-2008"
    tick_ms: float = 10.0
    slice_ms: float = 30.0
    account_ms: float = 30.0
    ratelimit_us: float = 0.0
    wake_us: float = 4.0
    switch_us: float = 1.5


class Costs(Record, frozen=True):
    """Processor work in cycles, memory access in nanoseconds a byte.

    Cycles are for warm code and data; what is cold is paid for by the memory costs below.

    NIC and bridge: ``nic_packet`` a packet through the NIC driver (either way), of the wire's
    size; ``nic_interrupt`` one interrupt. ``bridge_lookup`` finds the port of a frame,
    ``bridge_hooks`` runs the netfilter hooks and ``bridge_snoop`` learns and snoops, all three
    in stock mode, the first alone in lean mode; ``bridge_redirect`` replaces them in direct mode.
    (A bridge forwards 2.1, a redirect 2.45 million packets/s on one modern core; hooks cost 15 %
    and more of a bridge.)

    Backend: ``backend_packet`` a packet's bookkeeping, ``backend_page`` the grant or descriptor
    of each page of it, ``backend_byte`` what it does to each byte besides the copy,
    ``backend_batch`` one activation (hypercalls for the whole batch). ``header_bytes`` of a
    packet are read wherever it is handled.

    Guest: ``front_packet`` and, for each page, ``front_page`` netfront's or virtio's part,
    ``stack_packet`` the network stack, ``ack_packet`` the stack for an acknowledgement,
    ``app_packet`` and ``app_byte`` the application, ``guest_batch`` one activation of its
    interrupt handler.

    Notification: ``notify_send`` and ``notify_receive`` an event-channel or eventfd signal.
    ``ipi`` is what an interrupt to another core costs its sender, when the one woken is to run
    there. ``poll`` is one look of a polling backend at its rings.

    Copies, by where the source was last touched: ``copy_own`` by this core and still in its
    private cache, ``copy_llc`` in the same LLC domain, ``copy_across`` in another LLC domain of
    this node, ``copy_remote`` on another node, ``copy_memory`` nowhere but in memory. (On one
    core of 2020's, 1500 bytes took 23 ns warm, 36 from L3, 248 from memory; Core 2: estimates.)

    ``jitter`` is how far the work of an activation may be above or below its mean, as a share of it
    (estimate): interrupts, branches and memory make no two alike.

    ``domain_kb`` is the state (code, tables, connections) that an I/O VCPU or backend touches
    for every batch and finds gone after others ran on its core; ``neighbour_kb`` the same for a
    CPU-bound VCPU, which also streams ``neighbour_mbps`` megabytes/s through its caches.
    """

    nic_packet: float = 500.0
    nic_interrupt: float = 2500.0
    bridge_lookup: float = 350.0
    bridge_hooks: float = 500.0
    bridge_snoop: float = 150.0
    bridge_redirect: float = 200.0
    backend_packet: float = 700.0
    backend_page: float = 400.0
    backend_byte: float = 0.0
    backend_batch: float = 2500.0
    header_bytes: float = 128.0
    front_packet: float = 500.0
    front_page: float = 200.0
    stack_packet: float = 1500.0
    ack_packet: float = 700.0
    app_packet: float = 250.0
    app_byte: float = 0.05
    guest_batch: float = 2500.0
    notify_send: float = 1500.0
    notify_receive: float = 2000.0
    ipi: float = 1500.0
    poll: float = 300.0
    copy_own: float = 0.06
    copy_llc: float = 0.11
    copy_across: float = 0.30
    copy_remote: float = 0.30
    copy_memory: float = 0.35
    jitter: float = 0.25
    domain_kb: float = 64.0
    neighbour_kb: float = 512.0
    neighbour_mbps: float = 400.0


MODERN_COSTS = Costs(
    nic_packet=250.0,
    nic_interrupt=3000.0,
    bridge_lookup=500.0,
    bridge_hooks=400.0,
    bridge_snoop=100.0,
    bridge_redirect=350.0,
    backend_packet=700.0,
    backend_page=200.0,
    backend_batch=2500.0,
    front_packet=300.0,
    front_page=100.0,
    stack_packet=1200.0,
    ack_packet=500.0,
    app_packet=200.0,
    app_byte=0.03,
    notify_send=2500.0,
    notify_receive=3000.0,
    ipi=2000.0,
    poll=200.0,
    copy_own=0.016,
    copy_llc=0.026,
    copy_across=0.12,
    copy_remote=0.2,
    copy_memory=0.17,
    domain_kb=64.0,
    neighbour_kb=2048.0,
    neighbour_mbps=2000.0,
)
"""Costs of a host of about 2020 at 3 GHz, for the generator."""

LAB_COSTS = replace(
    MODERN_COSTS,
    backend_packet=3000.0,
    backend_batch=500.0,
    backend_byte=0.1,
    app_packet=6000.0,
    app_byte=0.05,
    copy_own=0.03,
    copy_llc=0.2,
    copy_across=0.25,
    copy_remote=0.3,
    notify_send=15000.0,
    notify_receive=30000.0,
    ipi=30000.0,
    jitter=0.5,
    stack_packet=6000.0,
    poll=800.0,
)
"""Costs of a lab, whose backends are processes, set by hand after measuring one."""
