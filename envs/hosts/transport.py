"""The one seam of a live host: commands as argument lists, here, elsewhere or from a recording.

A host backend does everything through a ``Transport``, reading ``/proc`` and writing settings
included. So one connection serves it, and a recorded host tests it without privileges. Commands
that do not need each other's answers travel together (``run_all``), for a round trip costs.
Arguments are never joined into a shell line here: names of guests and interfaces are hostile
input, and one argument stays one argument.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from envs.errors import CommandFailed
from envs.host import Record

NOT_FOUND = 127
"""The return code of a command that is not installed, as in a shell."""
NOT_EXECUTABLE = 126
"""The return code of a command that is there but cannot be started, as in a shell."""


class Result(Record, frozen=True):
    """What a command did. ``out`` and ``err`` are text; bytes that are not UTF-8 are replaced."""

    argv: tuple[str, ...]
    rc: int
    out: str = ""
    err: str = ""


class Transport(Protocol):
    """Runs commands on one host."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        """Run one command to its end, at most ``timeout`` seconds.

        A command that fails is a Result with its return code; raises CommandFailed only where
        there is no result: it took too long, or the host cannot be reached.
        """
        ...

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        """Run commands one after the other, in one round trip; the result of each, in order.

        One that fails does not stop those after it. Raises CommandFailed where there are no
        results: together they took longer than ``timeout`` seconds, or the host cannot be reached.
        """
        ...

    def close(self) -> None:
        """Let go of the connection, where there is one."""
        ...


class LocalTransport:
    """Runs commands on this machine, in the C locale so that their words can be parsed.

    Each has a process group of its own: Ctrl-C in a terminal is for the tuner alone, and does not
    cut off a command halfway through changing something. One that takes too long ends with all
    that it has begun: nothing goes on changing a host that is being put back.
    """

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        """Run one command here. See ``Transport.run``."""
        words = tuple(argv)
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                process_group=0,
            )
        except FileNotFoundError:
            return Result(argv=words, rc=NOT_FOUND, err=f"{words[0]}: command not found")
        except OSError as error:
            return Result(argv=words, rc=NOT_EXECUTABLE, err=f"{words[0]}: {error.strerror}")
        with process:
            try:
                out, err = process.communicate(stdin, timeout)
            except BaseException as error:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    told = f"{words[0]} took longer than {timeout:.3g} s: {words}"
                    raise CommandFailed(told) from None
                raise
        rc = process.returncode
        return Result(argv=words, rc=rc, out=_text(out), err=_text(err))

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        """Run commands here, one after the other. See ``Transport.run_all``."""
        end = time.monotonic() + timeout
        return tuple(self.run(argv, timeout=max(0.0, end - time.monotonic())) for argv in commands)

    def close(self) -> None:
        """Every command stood by itself: there is nothing to let go of."""


class RecordingTransport:
    """Passes commands on to another transport and keeps every result, in order.

    ``trips`` counts the round trips.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.results: list[Result] = []
        self.trips = 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        """Run one command through the inner transport. See ``Transport.run``."""
        result = self._inner.run(argv, stdin=stdin, timeout=timeout)
        self.results.append(result)
        self.trips += 1
        return result

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        """Run commands through the inner transport. See ``Transport.run_all``."""
        results = self._inner.run_all(commands, timeout=timeout)
        self.results.extend(results)
        self.trips += 1
        return results

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class RecordedTransport:
    """Replays results: each command gives its recorded results in order, the last one forever.

    ``asked`` holds every command that was run, ``trips`` counts the round trips. A command that
    was not recorded raises CommandFailed, so a test sees at once what a backend does beyond its
    recording.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._left: dict[tuple[str, ...], deque[Result]] = {}
        for result in results:
            self._left.setdefault(result.argv, deque()).append(result)
        self.asked: list[tuple[str, ...]] = []
        self.trips = 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:  # noqa: ARG002 - a recording reads nothing and takes no time
        """Give the next recorded result of this command. See ``Transport.run``."""
        self.trips += 1
        return self._next(tuple(argv))

    def run_all(
        self,
        commands: Sequence[Sequence[str]],
        *,
        timeout: float = 30.0,  # noqa: ARG002 - a recording takes no time
    ) -> tuple[Result, ...]:
        """Give the next recorded result of each command. See ``Transport.run_all``."""
        self.trips += 1
        return tuple(self._next(tuple(argv)) for argv in commands)

    def close(self) -> None:
        """A recording holds nothing."""

    def _next(self, words: tuple[str, ...]) -> Result:
        self.asked.append(words)
        if words not in self._left:
            raise CommandFailed(f"not in the recording: {words}")
        left = self._left[words]
        return left.popleft() if len(left) > 1 else left[0]


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace")


def output(transport: Transport, argv: Sequence[str], *, stdin: bytes = b"") -> str:
    """What a command that must succeed printed. Raises CommandFailed with its own complaint."""
    return printed(transport.run(argv, stdin=stdin))


def printed(result: Result) -> str:
    """What a command that must have succeeded printed, as ``output``."""
    if result.rc != 0:
        complaint = (result.err or result.out).strip().splitlines() or ["no message"]
        raise CommandFailed(f"{_told(result.argv)}: {complaint[0]} (return code {result.rc})")
    return result.out


def _told(argv: Sequence[str]) -> str:
    """A command within a line of text, with ``…`` for a script."""
    return " ".join("…" if "\n" in word else word for word in argv)


class Texts(dict[str, str]):
    """The text of files by their paths; those absent or empty are left out.

    To ask for one of these all the same raises CommandFailed: what must be there was not told.
    """

    def __missing__(self, path: str) -> str:
        """Say which file it is."""
        raise CommandFailed(f"cannot read {path}: it is absent or empty, or was not told")


def read_files(transport: Transport, paths: Sequence[str], *, prefix: Sequence[str] = ()) -> Texts:
    """The text of several files in one command.

    ``prefix`` goes before the command, to read in another namespace.
    """
    return files_read(transport.run((*prefix, *reading(paths)))) if paths else Texts()


def reading(paths: Sequence[str]) -> tuple[str, ...]:
    """The command that reads files (one at least), for ``files_read``.

    ``grep`` prints each line behind its file's name and a NUL, which neither a path nor a line of
    text can hold.
    """
    return ("grep", "-sHZ", "", "--", *paths)


def files_read(result: Result) -> Texts:
    """The text of each file out of what ``reading``, or another ``grep -sHZ``, gave.

    Raises CommandFailed if it failed, claims to have found something and tells nothing, or was cut
    off.
    """
    if result.rc != 0 and result.err:
        raise CommandFailed(f"cannot read {result.argv[-1]}: {result.err.strip().splitlines()[0]}")
    if result.rc == 0 and not result.out:
        raise CommandFailed(f"{_told(result.argv)}: found something but printed nothing")
    *lines, rest = result.out.split("\n")
    texts = Texts()
    for line in lines:
        path, found, text = line.partition("\0")
        if rest or not found:
            cut = rest or line
            raise CommandFailed(f"{_told(result.argv)}: this is no text of files: {cut!r:.80}")
        texts[path] = texts.get(path, "") + text + "\n"
    return texts


def write_file(path: str, text: str) -> tuple[str, ...]:
    """The command that writes a line to an existing file, such as one of a cgroup."""
    return ("sh", "-c", 'printf "%s\\n" "$2" >"$1"', "sh", path, text)


def replace_file(path: str, text: str) -> tuple[str, ...]:
    """The command that replaces a file as a whole: readers see the old text or the new."""
    script = 'printf "%s\\n" "$2" >"$1.new" && mv -f -- "$1.new" "$1"'
    return ("sh", "-c", script, "sh", path, text)
