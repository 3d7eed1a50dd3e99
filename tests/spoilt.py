"""What else might stand in a text that was printed, or in a JSON file that was left lying about."""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import msgspec
from hypothesis import strategies as st

from envs.errors import HostError
from envs.host import Host
from envs.hosts.transport import Result, Transport

Tree = Any
"""What JSON holds."""

HOSTILE = st.sampled_from(
    ["", "-x", "$(reboot)", "/etc/passwd", "x; reboot", "a\nb", "/proc/irq/../../etc/passwd"]
)
_NUMBERS = re.compile(r"(?<![0-9-])[0-9]+([,-][0-9]+)*")
_SWITCHES = ("", "on", "off", "all")
JUNK = st.sampled_from(["x", "", "-1", "9" * 5000, "0-99999999999", "3-0", "٣", "1e9", "{", "\0"])


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """A text with some characters, words or lines changed, gone or there twice, or cut off."""
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("character", "word", "line", "cut")))
        if kind == "character":
            at = draw(st.integers(0, len(text)))
            new = draw(st.text("0123456789abr-./ \n\tä", max_size=3))
            text = text[:at] + new + text[at + draw(st.integers(0, 3)) :]
        elif kind == "cut":
            text = text[: draw(st.integers(0, len(text)))]
        else:
            sep = " " if kind == "word" else "\n"
            parts = text.split(sep)
            at = draw(st.integers(0, len(parts) - 1))
            parts[at : at + 1] = draw(st.sampled_from(([], [parts[at]] * 2)) | JUNK.map(_alone))
            text = sep.join(parts)
    return text


def _alone(word: str) -> list[str]:
    return [word]


@st.composite
def spoilt(draw: st.DrawFn, tree: Tree) -> Tree:
    """The tree with one value in it replaced, mostly by one of its type, or one key."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(tree)))
        rest = {k: v for k, v in tree.items() if k != key}
        match draw(st.sampled_from(("value", "value", "value", "key", "gone"))):
            case "value":
                return {**rest, key: draw(spoilt(tree[key]))}
            case "key":
                return {**rest, draw(HOSTILE): tree[key]}
            case _:
                return rest
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(tree) - 1))
        return [*tree[:at], draw(spoilt(tree[at])), *tree[at + 1 :]]
    return draw(st.one_of(*[_LIKE.get(type(tree), _OTHER)] * 3, _OTHER))


_LIKE: dict[type, st.SearchStrategy[Any]] = {
    str: HOSTILE,
    int: st.integers(-9, 9) | st.integers(-(2**70), 2**70),
    bool: st.booleans(),
    list: st.just([]) | HOSTILE.map(_alone),
    dict: st.just({}) | st.dictionaries(HOSTILE, HOSTILE, max_size=1),
}
_OTHER = HOSTILE | st.sampled_from([[], {}, None, True, 1.5, 7])


class Answers:
    """A transport that passes on what another answers, but for what one command printed.

    ``number`` counts the commands from nought; ``change`` makes another text of the one it printed.
    """

    def __init__(self, inner: Transport, number: int, change: Callable[[str], str]) -> None:
        self._inner = inner
        self._number = number
        self._change = change

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        return self._passed_on(self._inner.run(argv, stdin=stdin, timeout=timeout))

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        return tuple(map(self._passed_on, self._inner.run_all(commands, timeout=timeout)))

    def close(self) -> None:
        self._inner.close()

    def _passed_on(self, result: Result) -> Result:
        self._number -= 1
        if self._number != -1:
            return result
        return msgspec.structs.replace(result, out=self._change(result.out))


def shape(command: Sequence[str]) -> tuple[str, ...]:
    """A command without the values that a setting chooses: numbers, switches, what is filed."""
    words = [
        "{}" if word.startswith("{") else _NUMBERS.sub("#", word) if word not in _SWITCHES else "#"
        for word in command
    ]
    return tuple(word for word, _ in groupby(words))


def complaint(opened: Callable[[], Host]) -> str:
    """What is said where a host cannot be opened and read; empty where it can.

    No other exception is an answer.
    """
    try:
        host = opened()
        host.describe()
        host.snapshot()
        host.measure(0.0)
    except HostError as error:
        return str(error)
    return ""
