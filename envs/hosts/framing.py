"""Several commands as one shell script, and what each of them did out of what the script printed.

A remote shell is the only way into another machine, so here, and nowhere else, argument lists
become shell text: every argument in single quotes, every program begun by ``exec`` so that no
shell builtin takes its place. After each command the script prints a *mark* on both of its
outputs. The mark is drawn by chance for each script, so no output can hold it by accident or
intent, and any bytes may stand between two of them.
"""

import secrets
import shlex
from collections.abc import Sequence

from envs.errors import CommandFailed
from envs.hosts.transport import Result

Argv = tuple[str, ...]


def new_mark() -> str:
    """A mark that nobody can guess."""
    return secrets.token_hex(16)


def script(commands: Sequence[Argv], mark: str, *, reads_stdin: bool = False) -> bytes:
    """The script that runs ``commands`` in order, each whatever became of those before it.

    Only with ``reads_stdin`` do commands see the script's standard input.
    """
    lines = [
        "export LC_ALL=C",
        f"mark() {{ printf '\\n{mark} %d\\n' \"$?\"; printf '\\n{mark}\\n' >&2; }}",
    ]
    source = "" if reads_stdin else " </dev/null"
    lines += [f"(exec {shlex.join(argv)}){source}; mark" for argv in commands]
    return "\n".join([*lines, ""]).encode()


def results(commands: Sequence[Argv], mark: str, out: bytes, err: bytes) -> tuple[Result, ...]:
    """What each command did. Raises CommandFailed where the script did not come to its end."""
    outs, errs = (text.split(f"\n{mark}".encode()) for text in (out, err))
    if len(outs) != len(commands) + 1 or len(errs) != len(commands) + 1:
        said = err.decode(errors="replace").replace(mark, "").split()
        complaint = " ".join(said[-20:]) or "no message"
        raise CommandFailed(f"the shell on the host ended before its commands: {complaint}")
    found = []
    printed, complained = outs[0], errs[0]
    for argv, after, after_err in zip(commands, outs[1:], errs[1:], strict=True):
        rc, ended, rest = after.partition(b"\n")
        if not (ended and rc.strip().isdigit()):
            raise CommandFailed("the shell on the host was cut off")
        found.append(
            Result(
                argv=argv,
                rc=int(rc),
                out=printed.decode(errors="replace"),
                err=complained.decode(errors="replace"),
            )
        )
        printed, complained = rest, after_err.partition(b"\n")[2]
    return tuple(found)
