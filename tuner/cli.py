"""The command ``tuner``: its verbs, and what a shell sees of an error.

A verb is imported when it is used, so that ``tuner --help`` and ``tuner status`` are quick.
"""

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import click

from envs.errors import TunerError
from tuner.interrupts import Interrupted

VERBS = {
    "lab": "Bring up, show or take down a lab host on this machine, to try all this on.",
    "doctor": "Say what is found on a host, what can be set, and what stands in the way.",
    "plan": "Show what would be changed on a host; change nothing.",
    "apply": "Tune a host: try settings, keep the best, or leave it as found.",
    "status": "Say whether a host is as found, as confirmed, or neither.",
    "confirm": 'Keep what "tuner apply --hold" has left for a person to decide.',
    "rollback": "Undo the last confirmed change of a host.",
    "watch": "Keep a host tuned while its load changes.",
    "compare": "Compare policies on the same hosts with the same measurements.",
    "simulate": "Measure a simulated host under a setting.",
    "calibrate": "Fit the simulator to a host, as a twin to train on and to ask.",
    "train": "Train an agent on simulated hosts.",
}

EPILOG = """\b
Hosts:
  sim:SCENARIO               a simulated host, see "tuner simulate --list"
  lab:                       a lab on this machine, see "tuner lab"
  qemu:///system             libvirt's guests here; qemu+ssh://user@host/system there
  kvm:                       QEMU without libvirt here; kvm+ssh://user@host there
  xen:                       Xen here; xen+ssh://user@host there

\b
Exit codes:
  0  done, or nothing to do
  1  another error
  2  wrong usage, file or value
  3  an agent that cannot be used
  4  the host failed
  5  not permitted on that host
  6  a setting did not take on the host
  7  another tuner holds the host
  130 after Ctrl-C, 143 after SIGTERM; the host was put back before
"""


LONGEST = 2_000
"""Characters of an error's line; more is what somebody else has put into it."""


def one_line(error: BaseException) -> str:
    """What an error says, fit for a terminal: it may hold a guest's name, or a file's contents."""
    text = str(error)
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:LONGEST])
    return shown + ("…" if len(text) > LONGEST else "")


class Verbs(click.Group):
    """A group that imports ``tuner.commands.VERB`` when that verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of a first use."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb."""
        if cmd_name not in VERBS:
            near = get_close_matches(cmd_name, VERBS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            ctx.fail(f'No such command "{cmd_name}".{hint}')
        command: click.Command = import_module(f"tuner.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="viotune", prog_name="tuner")
def cli() -> None:
    """Tune virtualized network I/O for the most bandwidth per core."""


def main() -> NoReturn:
    """Run the command line and exit with a code that scripts can rely on."""
    try:
        code = cli.main(prog_name="tuner", standalone_mode=False)
        sys.stdout.flush()
    except TunerError as error:
        click.echo(f"tuner: {one_line(error)}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except Interrupted as error:
        click.echo(f"tuner: ended by {error}; the host is as it was before this", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader has gone, such as `head`; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        # What cannot be printed any more: Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"tuner: {error.strerror or error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
