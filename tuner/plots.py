"""Pictures of a comparison: bandwidth against cores, and the ratio of each policy to stock.

Colours are Okabe and Ito's, which colour-blind people can tell apart; every series has a label
of its own as well.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from envs.errors import InputError, about
from tuner.compare import STOCK, Score
from tuner.labels import Point, label
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

    Grey lines join points of equal bandwidth per core, which stands at their ends outside the
    picture; the green one is the Pareto front: no setting measured gave more bandwidth for fewer
    cores.
    """
    figure, axes = _figure(7.2, 5.0)
    cores = [*(row.cores for row in rows), *(score.cores for score in tried)]
    gbps = [*(row.bandwidth for row in rows), *(score.bandwidth for score in tried)]
    axes.set_xlim(*_span(cores))
    axes.set_ylim(*_span(gbps))
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
    front = _front(
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
    lines = [*front]
    if LEARNED in points and STOCK in points:
        lines.append((points[STOCK], points[LEARNED]))
        axes.annotate(
            "", xy=points[LEARNED], xytext=points[STOCK], zorder=3,
            arrowprops={"arrowstyle": "-|>", "color": BLUE, "lw": 1.6, "shrinkA": 5, "shrinkB": 5},
        )  # fmt: skip
    axes.set_xlabel("cores used for I/O")
    axes.set_ylabel("bandwidth (Gb/s)")
    axes.set_title(about(host, "bandwidth against cores"), loc="left", pad=16)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    label(figure, axes, points, [(s.cores, s.bandwidth) for s in tried], lines)
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


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The part of an axis to show: from 0, or nearer where that would leave much of it empty.

    At least half of the largest value is shown, so that little does not look like much.
    """
    least, most = min(values), max(values)
    low = min(least - (most - least) / 4, most / 2)
    return (low if low > most / 5 else 0.0), most * 1.15


def _iso_lines(axes: Axes) -> None:
    """Lines of equal Gb/s per core, with that figure where they leave the picture."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    middle = top / right
    lowest, highest = (
        max(middle / 3, bottom / right),
        min(middle * 2, top / left if left else math.inf),
    )
    name = "equal Gb/s per core"
    for slope in MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(lowest, highest):
        if not lowest < slope < highest:
            continue
        axes.axline((0.0, 0.0), slope=slope, color=GRID, lw=0.9, zorder=0, label=name)
        name = "_"  # one line stands for all in the legend
        at_side = slope * right <= top
        axes.annotate(
            f"{slope:g}", xy=(right, slope * right) if at_side else (top / slope, top),
            xytext=(3, 0) if at_side else (0, 3), textcoords="offset points",
            ha="left" if at_side else "center", va="center" if at_side else "bottom",
            fontsize=7, color=FAINT, annotation_clip=False,
        )  # fmt: skip


def _front(axes: Axes, points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """The Pareto front of (cores, bandwidth): fewer cores, more bandwidth; its lines."""
    front: list[Point] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    if len(front) < 2:
        return []
    axes.step(
        *zip(*front, strict=True), where="post", color=GREEN, lw=1.3, label="Pareto front", zorder=2
    )
    corners = [(there[0], here[1]) for here, there in pairwise(front)]
    path = [point for pair in zip(front, corners, strict=False) for point in pair] + front[-1:]
    return list(pairwise(path))
