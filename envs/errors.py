"""The one tree of errors that a person can meet, and the exit code of each.

    TunerError                1   anything that stops a command with one clear line
    ├── InputError            2   what was asked for cannot be: a wrong URI, value, key or file
    │   ├── IllegalSetting    2   a setting that breaks a rule of the host (see ``envs.knobs``)
    │   └── AgentError        3   an agent that is missing, damaged or of another schema
    └── HostError             4   the host could not be reached, read or changed
        ├── Unprivileged      5   the host is there, but we may not touch it
        ├── CommandFailed     4   a command on the host failed, or took too long
        ├── NotApplied        6   a value read back is not the value that was set
        │   └── Meddled       6   somebody else has set the host since it was last looked at
        └── HostBusy          7   another tuner holds the host's lock

The message is a single line that names the culprit and says what to do. ``tuner.cli`` prints it
and exits with the code; nothing else in the program catches ``TunerError`` to hide it.
"""

import contextlib
from collections.abc import Iterator


class TunerError(Exception):
    """Stops a command. ``exit_code`` is what the shell sees."""

    exit_code = 1


class InputError(TunerError):
    """What was asked for cannot be: a wrong URI, value, key or file."""

    exit_code = 2


class IllegalSetting(InputError):
    """A setting that breaks a rule of the host; raised before anything is touched."""


class AgentError(InputError):
    """An agent that is missing, damaged, or made for another schema."""

    exit_code = 3


class HostError(TunerError):
    """The host could not be reached, read or changed."""

    exit_code = 4


class Unprivileged(HostError):
    """The host is there, but this user may not control it."""

    exit_code = 5


class CommandFailed(HostError):
    """A command on the host failed or took too long."""


class NotApplied(HostError):
    """A value read back from the host is not the value that was set."""

    exit_code = 6


class Meddled(NotApplied):
    """Somebody else has set the host since it was last looked at; nothing was touched."""


class HostBusy(HostError):
    """Another tuner holds the lock of this host."""

    exit_code = 7


def about(uri: str, text: str) -> str:
    """A line about a host, which begins with its URI: ``xen: xl info: ...``."""
    return f"{uri.rstrip(':')}: {text}"


@contextlib.contextmanager
def naming(uri: str) -> Iterator[None]:
    """Make the message of any error inside one about that host."""
    try:
        yield
    except TunerError as error:
        raise type(error)(about(uri, str(error))) from error
