"""Pictures of a suite's outcome, and its document beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from envs.errors import InputError
from tuner.plots import BLUE, FAINT, GREEN, GRID, INK, ORANGE, RED, house_style, write
from tuner.suite import AGENT, MARKS, RANKED, Standing, Suite

COLOURS = {AGENT: BLUE, "recipe": ORANGE, "both": GREEN, "climb": RED, "tpe": INK}
"""The series that stand out; all others are grey, named at their end."""
GAP = 0.035
"""How far apart the names of lines are at least, which takes that much of the picture's height."""
Line: TypeAlias = tuple[Sequence[float], Sequence[float]]


def save(suite: Suite, folder: Path) -> tuple[Path, ...]:
    """Write ``suite.json`` and the pictures; the files written."""
    document = folder / "suite.json"
    try:
        document.write_bytes(msgspec.json.format(msgspec.json.encode(suite), indent=1) + b"\n")
    except OSError as error:
        raise InputError(f"cannot write {document}: {error.strerror}") from error
    pictures = {"curves.png": curves(suite.standings), "profile.png": profile(suite)}
    for name, figure in pictures.items():
        write(figure, folder / name)
    return (document, *(folder / name for name in pictures))


def curves(standings: Sequence[Standing]) -> Figure:
    """The share of the best known gain against the number of measurements."""
    figure, axes = _figure()
    lines: dict[str, Line] = {}
    for one in standings:
        marks = list(one.scores)
        lines[one.policy] = (marks, [score.mean for score in one.scores.values()])
        if one.policy == AGENT:
            lows = [s.mean if s.low is None else s.low for s in one.scores.values()]
            highs = [s.mean if s.high is None else s.high for s in one.scores.values()]
            axes.fill_between(marks, lows, highs, color=BLUE, alpha=0.15, lw=0)
    _draw(axes, lines)
    _name_ends(axes, lines)
    axes.set_xscale("log")
    axes.set_xticks(MARKS, [str(mark) for mark in MARKS])
    axes.set_xlim(1.0, 2.2 * MARKS[-1])
    axes.set_ylim(min(0.0, *(s.mean for one in standings for s in one.scores.values())), 1.02)
    axes.set_xlabel("measurements, besides that of the host as found")
    axes.set_ylabel("share of the best known gain")
    axes.set_title("Hosts never seen before: what each policy keeps", loc="left")
    return figure


def profile(suite: Suite) -> Figure:
    """The share of hosts on which a policy reaches at least so much after ``RANKED``."""
    figure, axes = _figure()
    levels = np.linspace(0.0, 1.0, 101)
    scores = {name: np.array(by_mark[RANKED]) for name, by_mark in suite.each.items()}
    shares = {name: [float((one >= t).mean()) for t in levels] for name, one in scores.items()}
    _draw(axes, {name: (levels.tolist(), share) for name, share in shares.items()})
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("share of the best known gain")
    axes.set_ylabel("share of the hosts that reach it")
    axes.set_title(f"After {RANKED} measurements", loc="left")
    return figure


def _figure() -> tuple[Figure, Axes]:
    house_style()
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.grid(color=GRID, lw=0.6)
    return figure, axes


def _draw(axes: Axes, lines: Mapping[str, Line]) -> None:
    for name, (x, y) in lines.items():
        axes.plot(x, y, color=_colour(name), lw=2.2 if name == AGENT else 1.3, label=name)


def _name_ends(axes: Axes, lines: Mapping[str, Line]) -> None:
    """Names where lines end, from the lowest up, each clear of the one below."""
    height = -GAP / 2  # clear of the axis, too
    for name, (x, y) in sorted(lines.items(), key=lambda line: line[1][1][-1]):
        height = max(y[-1], height + GAP)
        axes.annotate(
            name, (x[-1], height), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, color=_colour(name),
        )  # fmt: skip


def _colour(name: str) -> str:
    return COLOURS.get(name, FAINT)
