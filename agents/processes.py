"""Work on many hosts at once, by processes of their own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def spread(work: Callable[[int], T], seeds: Iterable[int], processes: int) -> Iterator[T]:
    """What ``work`` gives for every seed, in order. Whoever stops asking ends the processes."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    pool = ProcessPoolExecutor(processes, context, initializer=_begin)
    try:
        yield from pool.map(work, seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the parent, which then ends the pool, and the other cores to the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(library, "1")  # read by NumPy, which is not there yet
