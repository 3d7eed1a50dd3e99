"""Many hosts tuned by one command: the first alone, then several at once, none after a failure.

Each host is tuned by a process of its own, the very ``tuner apply`` that a person would run, so
what makes that safe is not done anew here, and one host that hangs or crashes cannot harm another.
"""

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import msgspec

from envs import reading
from envs.errors import InputError
from envs.host import Record
from envs.hosts import locate
from tuner.interrupts import Interrupted, Interrupts
from tuner.tune import Tuning

_PAUSE = 0.1
"""Seconds between two looks at the processes."""

Outcome = Literal["kept", "left as found", "failed", "not begun"]


class Line(Record, frozen=True):
    """What became of one host; ``ratio`` is bandwidth per core to the host as found, if kept."""

    host: str
    outcome: Outcome
    exit_code: int | None = None
    ratio: float | None = None
    reason: str = ""


class Fleet(Record, frozen=True):
    """What became of each host, in the order given; ``exit_code`` is that of the first failure."""

    hosts: tuple[Line, ...]
    exit_code: int


def expand(given: Sequence[str]) -> tuple[str, ...]:
    """The hosts that ``--host`` names, those in files (``@FILE``, one a line, # comments) included.

    Raises InputError for a URI that cannot be, naming its file and line, before any is reached.
    """
    seen: dict[str, str] = {}
    for where, uri in _lines(given):
        try:
            locate.check(uri)
        except InputError as error:
            raise InputError(f"{where}{error}") from None
        if uri in seen:
            raise InputError(f"{where}{uri} is given twice")
        seen[uri] = where
    if not seen:
        raise InputError("no host is given: " + " ".join(given))
    return tuple(seen)


def tune_all(
    hosts: Sequence[str],
    words: Sequence[str],
    *,
    at_once: int,
    noted: Interrupts,
    told: Callable[[Line], None],
) -> Fleet:
    """Run ``tuner apply`` with ``words`` on every host, and stop at the first that fails.

    Those that have begun by then go on to their end. ``told`` hears of each host as it ends. A
    signal is passed on, and obeyed once all have put their hosts back: its exit code is told then.
    """
    ended: dict[str, Line] = {}

    def end(one: "_Running") -> None:
        ended[one.uri] = one.end()
        told(ended[one.uri])

    codes: list[int | None] = []
    try:
        with TemporaryDirectory(prefix="viotune-") as folder:
            _tune_all(hosts, words, Path(folder), at_once, noted, ended, end)
    except Interrupted as stopped:
        codes.append(stopped.exit_code)
    codes += [line.exit_code for line in ended.values() if line.outcome == "failed"]
    lines = tuple(ended.get(uri) or Line(host=uri, outcome="not begun") for uri in hosts)
    return Fleet(hosts=lines, exit_code=codes[0] or 1 if codes else 0)


def _tune_all(
    hosts: Sequence[str],
    words: Sequence[str],
    folder: Path,
    at_once: int,
    noted: Interrupts,
    ended: Mapping[str, Line],
    end: Callable[["_Running"], None],
) -> None:
    """Begin and end each host in its turn; ``ended`` is what ``end`` has made of them so far."""
    running: list[_Running] = []
    waiting = list(hosts)
    try:
        while running or waiting:
            if any(line.outcome == "failed" for line in ended.values()):
                waiting.clear()
            limit = at_once if ended else 1  # the first goes alone, as the canary
            while waiting and len(running) < limit:
                number = len(ended) + len(running)
                running.append(_Running(waiting.pop(0), words, folder / str(number)))
            with noted.waiting():
                time.sleep(_PAUSE)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                end(one)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            end(one)


def _lines(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where each URI stands ("FILE, line 3: "), and the URI."""
    for word in given:
        if not word.startswith("@"):
            yield "", word
            continue
        path = Path(word[1:])
        for number, line in enumerate(reading.text(path).split("\n"), 1):
            uri = line.partition("#")[0].strip()
            if uri:
                yield f"{path}, line {number}: ", uri


class _Running:
    """One host being tuned. What it says goes to files: a pipe that nobody reads would stop it."""

    def __init__(self, uri: str, words: Sequence[str], folder: Path) -> None:
        self.uri = uri
        self._out, self._err = folder / "out", folder / "err"
        folder.mkdir()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tuner.cli", "apply", "--host", uri, "--json", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,  # Ctrl-C in a terminal reaches it through us alone
            )

    def end(self) -> Line:
        """What became of the host, once the process has ended."""
        code = self.process.wait()
        if code == 0:
            return _line(self.uri, msgspec.json.decode(self._out.read_bytes(), type=Tuning))
        complaint = self._err.read_text(errors="replace").strip()
        reason = complaint.rpartition("\n")[2].removeprefix("tuner: ") or "no message"
        code = code if code > 0 else 128 - code  # as a shell has it, where a signal has ended it
        return Line(host=self.uri, outcome="failed", exit_code=code, reason=reason)


def _line(uri: str, tuning: Tuning) -> Line:
    best = tuning.best
    return Line(
        host=uri,
        outcome="left as found" if best is None else "kept",
        exit_code=0,
        ratio=None if best is None else math.exp(best.judgement.gain.mean),
        reason=tuning.reason,
    )
