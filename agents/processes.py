"""Work on many hosts at once, by processes of their own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def spread(work: Callable[[int], T], seeds: Iterable[int], processes: int) -> Iterator[T]:
    """What ``work`` gives for every seed, in order. Whoever stops asking ends the processes."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends the pool
    pool = ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=ignore)
    try:
        with _one_thread_each():
            found = pool.map(work, seeds)  # which starts the processes
        yield from found
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that are started meanwhile leave the other cores to each other.

    NumPy reads the environment once, as it is imported.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
