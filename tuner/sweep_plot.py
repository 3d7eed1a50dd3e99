"""The what-if curve of a knob: bandwidth per core above, bandwidth and cores below."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tuner.plots import BLUE, FAINT, GREEN, GRID, INK, ORANGE, house_style
from tuner.sweep import Point, Spread

ORDERED = ("tx_queue", "weight")
"""Knobs whose values are more or less of the same: their points are joined."""
WIDE = 9
"""Characters of a value's name above which the names are written aslant."""


def curve(title: str, knob: str, points: Sequence[Point]) -> Figure:
    """Three panels over the values of ``knob``; the value as found is marked."""
    house_style()
    figure = Figure(figsize=(7.2, 6.0), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[2.0, 1.0, 1.0])
    joined = "o-" if knob in ORDERED else "o"
    _panel(top, points, lambda p: p.per_core, joined, BLUE, "Gb/s per core")
    _panel(middle, points, lambda p: p.bandwidth, joined, GREEN, "Gb/s")
    _panel(bottom, points, lambda p: p.cores, joined, ORANGE, "cores for I/O")
    found = next((at for at, point in enumerate(points) if point.found), None)
    if found is not None:
        for axes in (top, middle, bottom):
            axes.axvline(found, color=INK, lw=0.9, ls=":", zorder=0)
        top.annotate(
            "as it is", xy=(found, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -3),
            textcoords="offset points", va="top", fontsize=8, color=INK,
        )  # fmt: skip
    names = [point.value for point in points]
    aslant = max(map(len, names)) > WIDE
    bottom.set_xticks(
        range(len(names)), names, rotation=35 if aslant else 0, ha="right" if aslant else "center"
    )
    bottom.set_xlabel(knob)
    top.set_title(title, loc="left")
    figure.supxlabel(
        "dot: median of several loads, bar: lowest to highest", fontsize=8, color=FAINT
    )
    return figure


def _panel(
    axes: Axes,
    points: Sequence[Point],
    of: Callable[[Point], Spread],
    marks: str,
    colour: str,
    label: str,
) -> None:
    """The median of each value, with how far the loads are apart."""
    places, found = range(len(points)), [of(point) for point in points]
    lows, highs = [spread.low for spread in found], [spread.high for spread in found]
    axes.vlines(places, lows, highs, color=colour, alpha=0.4, lw=4)
    axes.plot(places, [spread.median for spread in found], marks, color=colour, ms=5, lw=1.4)
    axes.set_ylim(0.0, 1.12 * max(1e-6, *highs))
    axes.set_ylabel(label)
    axes.grid(axis="y", color=GRID, lw=0.7)
