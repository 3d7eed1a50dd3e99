"""Pictures of a comparison: bandwidth against cores, and the ratio of each policy to stock.

Colours are Okabe and Ito's, which colour-blind people can tell apart; every series has a label
of its own as well.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from envs.errors import InputError, about
from tuner.compare import STOCK, Score
from tuner.labels import label
from tuner.report import ALL_HOSTS, Comparison, Row

DPI = 150
INK, FAINT, GRID = "#222222", "#8a8a8a", "#dddddd"
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
LEARNED = "agent"
LEAST_SPAN = 0.1
"""A ratio's axis shows at least this much around 1, so that nothing looks like much."""


def save(made: Comparison, folder: Path) -> tuple[Path, ...]:
    """Draw all pictures of a comparison into ``folder``; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    hosts = [host for host in dict.fromkeys(row.host for row in made.rows) if host != ALL_HOSTS]
    written = []
    for host in hosts:
        rows = [row for row in made.rows if row.host == host]
        tried = [score for score in made.tried if score.host == host]
        path = folder / f"bandwidth-{_file_name(host)}.png"
        write(bandwidth_against_cores(host, rows, tried), path)
        written.append(path)
    path = folder / "ratio.png"
    write(ratios(made.rows), path)
    return (*written, path)


def bandwidth_against_cores(host: str, rows: Sequence[Row], tried: Sequence[Score]) -> Figure:
    """Every setting measured, what each policy kept, and the way from stock to the agent.

    Grey lines join points of equal bandwidth per core; the green one is the Pareto front: no
    setting measured gave more bandwidth for fewer cores.
    """
    figure, axes = _figure(7.2, 5.0)
    cores = [*(row.cores for row in rows), *(score.cores for score in tried)]
    gbps = [*(row.bandwidth for row in rows), *(score.bandwidth for score in tried)]
    axes.set_xlim(0.0, max(cores) * 1.18)
    axes.set_ylim(0.0, max(gbps) * 1.15)
    _iso_lines(axes)
    kept = [score for score in tried if score.holds]
    missed = [score for score in tried if not score.holds]
    axes.scatter(
        [s.cores for s in kept], [s.bandwidth for s in kept], s=16, color=FAINT, alpha=0.6, lw=0,
        label="a setting measured",
    )  # fmt: skip
    axes.scatter(
        [s.cores for s in missed], [s.bandwidth for s in missed], s=18, color=RED, alpha=0.5,
        marker="x", lw=1.0, label="… that missed a guard",
    )  # fmt: skip
    _front(
        axes,
        [
            *((s.cores, s.bandwidth) for s in kept),
            *((r.cores, r.bandwidth) for r in rows if not r.broken),
        ],
    )
    points = {row.policy: (row.cores, row.bandwidth) for row in rows}
    for policy, (x, y) in points.items():
        order = 5 if policy in (STOCK, LEARNED) else 4
        axes.scatter(
            [x], [y], s=64, color=_colour(policy), edgecolors="white", lw=0.8, zorder=order
        )
    arrow: list[tuple[float, float]] = []
    if LEARNED in points and STOCK in points:
        arrow = _between(points[STOCK], points[LEARNED])
        axes.annotate(
            "", xy=points[LEARNED], xytext=points[STOCK], zorder=3,
            arrowprops={"arrowstyle": "-|>", "color": BLUE, "lw": 1.6, "shrinkA": 5, "shrinkB": 5},
        )  # fmt: skip
    axes.set_xlabel("cores used for I/O")
    axes.set_ylabel("bandwidth (Gb/s)")
    axes.set_title(about(host, "bandwidth against cores"), loc="left")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    label(figure, axes, points, [*((s.cores, s.bandwidth) for s in tried), *arrow])
    return figure


def ratios(rows: Sequence[Row]) -> Figure:
    """Bandwidth per core of each policy to stock, with 95 % intervals, a panel for each host."""
    hosts = list(dict.fromkeys(row.host for row in rows))
    policies = list(dict.fromkeys(row.policy for row in rows if row.policy != STOCK))
    last = {row.policy: row.ratio.mean for row in rows if row.host == hosts[-1]}
    order = sorted(policies, key=lambda policy: last[policy])
    columns = min(3, len(hosts))
    lines = math.ceil(len(hosts) / columns)
    house_style()
    figure = Figure(
        figsize=(1.6 + 3.0 * columns, lines * (0.9 + 0.26 * len(order))), layout="constrained"
    )
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(hosts):
            axes.set_visible(False)
            continue
        for place, policy in enumerate(order):
            row = next(r for r in rows if r.host == hosts[index] and r.policy == policy)
            colour = _colour(policy)
            if row.ratio.low is not None and row.ratio.high is not None:
                axes.plot([row.ratio.low, row.ratio.high], [place, place], color=colour, lw=2.2)
            face = "white" if row.broken else colour
            axes.plot([row.ratio.mean], [place], "o", ms=6, color=colour, mfc=face)
        axes.axvline(1.0, color=INK, lw=0.9)
        axes.set_yticks(range(len(order)), order)
        axes.grid(axis="x", color=GRID, lw=0.7)
        axes.set_title(hosts[index], loc="left")
        axes.margins(x=0.12)
        left, right = axes.get_xlim()
        axes.set_xlim(min(left, 1.0 - LEAST_SPAN), max(right, 1.0 + LEAST_SPAN))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:.2f}")
    figure.supxlabel("Gb/s per core, relative to stock (hollow: a guard was missed)", fontsize=9)
    return figure


def house_style() -> None:
    """Dark on white, no frame, no more ink than is needed."""
    mpl.rc("font", size=9)
    mpl.rc("text", color=INK)
    mpl.rc("axes", titlesize=10, titleweight="bold", edgecolor=FAINT, labelcolor=INK)
    mpl.rc("axes", axisbelow=True)
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rc("xtick", color=INK)
    mpl.rc("ytick", color=INK)


def _file_name(host: str) -> str:
    """A host's name or path as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(host).name).strip("-") or "host"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    house_style()
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def write(figure: Figure, path: Path) -> None:
    """Save a picture as PNG. Raises InputError where it cannot be written."""
    try:
        figure.savefig(path, dpi=DPI, facecolor="white")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _colour(policy: str) -> str:
    if policy == STOCK:
        return INK
    return ORANGE if policy != LEARNED else BLUE


def _between(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Points along a line, close enough that no name fits between them."""
    (x, y), (to_x, to_y) = start, end
    return [(x + (to_x - x) * n / 24, y + (to_y - y) * n / 24) for n in range(25)]


def _iso_lines(axes: Axes) -> None:
    """Lines of equal Gb/s per core, labelled where they leave the picture."""
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    for slope in _round_steps(top / right):
        x, y = (right, slope * right) if slope * right <= top else (top / slope, top)
        axes.plot([0.0, x], [0.0, y], color=GRID, lw=0.9, zorder=0)
        beside = x == right
        axes.annotate(
            f"{slope:g} Gb/s per core", xy=(x, y), xytext=(-3, -2), textcoords="offset points",
            ha="right", va="top" if not beside else "bottom", fontsize=7, color=FAINT,
        )  # fmt: skip


def _round_steps(middle: float) -> list[float]:
    """A few round slopes around the diagonal of the picture."""
    steps = [m * 10.0**e for e in range(-3, 5) for m in (1, 1.5, 2, 3, 5, 7)]
    return [step for step in steps if middle / 3 <= step <= middle * 3]


def _front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """The Pareto front of (cores, bandwidth): fewer cores, more bandwidth."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    if len(front) > 1:
        xs, ys = zip(*front, strict=True)
        axes.step(xs, ys, where="post", color=GREEN, lw=1.3, label="Pareto front", zorder=2)
