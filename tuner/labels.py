"""Names beside the points of a picture, none over another name or a point."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

SAME = 6.0
"""Points nearer than this (in typographic points) carry one label together."""
MARKER = 5.0
"""Half the width of a marker, in typographic points."""
RADII = (8.0, 15.0, 24.0, 36.0, 50.0, 66.0, 84.0)
ANGLES = (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)
FONT_SIZE = 8
LEADER = 12.0
"""A label farther away than this is tied to its point by a thin line."""


def label(
    figure: Figure,
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    others: Sequence[tuple[float, float]] = (),
) -> None:
    """Name each of ``points``, keeping clear of them and of ``others``.

    Everything else must be drawn already, as the layout is final from here.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = figure.dpi / 72.0
    place = {
        name: tuple(float(v) for v in axes.transData.transform(xy)) for name, xy in points.items()
    }
    taken = [_around(x, y, MARKER * scale) for x, y in place.values()]
    for xy in others:
        x, y = (float(v) for v in axes.transData.transform(xy))
        taken.append(_around(x, y, MARKER * scale / 2))
    room = axes.get_window_extent()
    for names in _together(place, SAME * scale):
        (x, y), text = points[names[0]], _lines(names)
        probe = axes.text(x, y, text, fontsize=FONT_SIZE)
        size = probe.get_window_extent()
        probe.remove()
        at_x, at_y = place[names[0]]
        boxes = {
            (dx, dy): _beside(at_x + dx * scale, at_y + dy * scale, dx, size.width, size.height)
            for dx, dy in _offsets()
        }
        free = [at for at, box in boxes.items() if _fits(box, room, taken)]
        dx, dy = free[0] if free else next(iter(boxes))
        taken.append(boxes[dx, dy])
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(dx, dy),
            textcoords="offset points",
            ha=_side(dx),
            va="center",
            fontsize=FONT_SIZE,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": "#8a8a8a", "lw": 0.6, "shrinkB": 4}
            if math.hypot(dx, dy) > LEADER
            else None,
        )


def _fits(box: Bbox, room: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
    return inside and not any(box.overlaps(other) for other in taken)


def _offsets() -> Iterator[tuple[float, float]]:
    for radius in RADII:
        for angle in ANGLES:
            yield (
                radius * math.cos(math.radians(angle)),
                radius * math.sin(math.radians(angle)),
            )


def _side(dx: float) -> Literal["left", "right", "center"]:
    if abs(dx) < 1.0:
        return "center"
    return "left" if dx > 0 else "right"


def _beside(x: float, y: float, dx: float, width: float, height: float) -> Bbox:
    left = {"left": x, "right": x - width, "center": x - width / 2}[_side(dx)]
    return Bbox.from_bounds(left, y - height / 2, width, height)


def _around(x: float, y: float, reach: float) -> Bbox:
    return Bbox.from_bounds(x - reach, y - reach, 2 * reach, 2 * reach)


def _together(place: Mapping[str, tuple[float, ...]], reach: float) -> list[list[str]]:
    """Names whose points coincide, in one list each."""
    groups: list[list[str]] = []
    for name, at in place.items():
        for group in groups:
            if math.dist(place[group[0]], at) <= reach:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _lines(names: Sequence[str]) -> str:
    """Two names a line."""
    return ",\n".join(", ".join(names[i : i + 2]) for i in range(0, len(names), 2))
