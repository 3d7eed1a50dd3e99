"""What a command says: its result on stdout, all else on stderr.

With ``--json`` the result is one JSON document and stdout holds nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

PIPE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""


class Output:
    """The two streams of a command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, markup=False, emoji=False)
        if not self._out.is_terminal:
            self._out = Console(highlight=False, markup=False, emoji=False, width=PIPE_WIDTH)

    def say(self, text: str) -> None:
        """A line on stderr for a person who watches."""
        click.echo(text, err=True)

    def show(self, *parts: RenderableType) -> None:
        """Parts of the result for people, lines or tables, on stdout; not with ``--json``.

        They are printed as they are: the name of a guest may look like markup, and ``lab:b:``
        like the name of an emoji.
        """
        for part in () if self.as_json else parts:
            self._out.print(part, soft_wrap=isinstance(part, str))

    def heading(self, text: str) -> None:
        """A line that stands out, above what it names."""
        self.show("", Text(text, style="bold"))

    def emit(self, document: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """The result for programs, only with ``--json``."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())

    @contextmanager
    def progress(self, total: int, label: str) -> Iterator[Callable[[str], None]]:
        """A bar with the time left; the function given is told what is done next.

        It is drawn on stderr, and not at all with ``--json`` or where stderr is no terminal.
        """
        console = Console(stderr=True)
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=self.as_json or not console.is_terminal,
        )
        with bar:
            task = bar.add_task(label, total=total)
            begun = 0

            def step(what: str) -> None:
                nonlocal begun
                bar.update(task, completed=begun, description=f"{label}: {what}")
                begun += 1

            yield step
