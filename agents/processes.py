"""Work on many hosts at once, by processes of their own."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def spread(work: Callable[[int], T], seeds: Iterable[int], processes: int) -> Iterator[T]:
    """What ``work`` gives for every seed, in order. Whoever stops asking ends the processes."""
    # A fork would copy torch's threads; Ctrl-C is for the parent, which then ends the pool.
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=ignore)
    try:
        yield from pool.map(work, seeds)
    finally:
        pool.shutdown(cancel_futures=True)
