"""Names beside the points of a picture, none over another name, a point or a line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

Point = tuple[float, float]

SAME = 6.0
"""Points nearer than this (in typographic points) carry one label together."""
MARKER = 5.0
"""Half the width of a marker, in typographic points."""
RADII = (8.0, 12.0, 17.0, 24.0, 33.0, 44.0, 57.0, 72.0, 89.0, 108.0, 130.0, 155.0)
ANGLES = (0, 180, 25, -25, 155, -155, 50, -50, 130, -130, 75, -75, 105, -105)
FONT_SIZE = 8
LEADER = 12.0
"""A label farther away than this is tied to its point by a thin line."""
GRAIN = 2.0
"""A line is seen as points that are this far apart, in typographic points."""
LINES = 4
"""The most lines of a label: names that share a point may be many."""


def label(
    figure: Figure,
    axes: Axes,
    points: Mapping[str, Point],
    others: Sequence[Point] = (),
    lines: Sequence[tuple[Point, Point]] = (),
) -> None:
    """Name each of ``points``, keeping clear of them, of ``others`` and of ``lines``.

    Everything else must be drawn already, as the layout is final from here.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = figure.dpi / 72.0

    def pixel(at: Point) -> Point:
        x, y = axes.transData.transform(at)
        return float(x), float(y)

    place = {name: pixel(at) for name, at in points.items()}
    taken = [_around(at, MARKER * scale) for at in place.values()]
    taken += [_around(pixel(at), MARKER * scale / 2) for at in others]
    for start, end in lines:
        taken += _along(pixel(start), pixel(end), scale)
    room = axes.get_window_extent()
    texts: list[Bbox] = []
    for names in _together(place, SAME * scale):
        at, text = points[names[0]], _lines(names)
        probe = axes.text(*at, text, fontsize=FONT_SIZE)
        size = probe.get_window_extent()
        probe.remove()
        here = place[names[0]]
        rest = (at for name, at in place.items() if name not in names)
        crossed = [*texts, *(_around(at, MARKER * scale) for at in rest)]
        choices = [
            (offset, _beside(here, offset, scale, size.width, size.height)) for offset in _offsets()
        ]
        offset, box = next(
            (
                (offset, box)
                for offset, box in choices
                if _fits(box, room, taken)
                and not _any_overlap(_leader(here, offset, scale), crossed)
            ),
            choices[0],
        )
        taken += [box, *_leader(here, offset, scale)]
        texts.append(box)
        axes.annotate(
            text,
            xy=at,
            xytext=offset,
            textcoords="offset points",
            ha=_side(offset[0]),
            va="center",
            fontsize=FONT_SIZE,
            zorder=5,
            arrowprops=_tie(offset) if math.hypot(*offset) > LEADER else None,
        )


def _fits(box: Bbox, room: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
    return inside and not _any_overlap([box], taken)


def _any_overlap(some: Sequence[Bbox], others: Sequence[Bbox]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)


def _offsets() -> Iterator[Point]:
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


def _beside(at: Point, offset: Point, scale: float, width: float, height: float) -> Bbox:
    x, y = at[0] + offset[0] * scale, at[1] + offset[1] * scale
    left = {"left": x, "right": x - width, "center": x - width / 2}[_side(offset[0])]
    return Bbox.from_bounds(left, y - height / 2, width, height)


def _leader(at: Point, offset: Point, scale: float) -> list[Bbox]:
    """The thin line from a point to its label, without what its marker hides."""
    far = math.hypot(*offset)
    if far <= LEADER:
        return []
    x, y = (scale * part / far for part in offset)
    start = (at[0] + x * MARKER, at[1] + y * MARKER)
    end = (at[0] + x * (far - 1.0), at[1] + y * (far - 1.0))
    return _along(start, end, scale)


def _tie(offset: Point) -> dict[str, object]:
    """How the leader is drawn: from the edge of the text that is next to its point."""
    edge = {"left": 0.0, "right": 1.0, "center": 0.5}[_side(offset[0])]
    look = {"arrowstyle": "-", "color": "#8a8a8a", "lw": 0.6}
    return {**look, "relpos": (edge, 0.5), "shrinkA": 1, "shrinkB": 4}


def _along(start: Point, end: Point, scale: float) -> list[Bbox]:
    """A line between two pixels, as small boxes."""
    (x, y), (to_x, to_y) = start, end
    count = max(1, math.ceil(math.dist(start, end) / (GRAIN * scale)))
    shares = [n / count for n in range(count + 1)]
    return [_around((x + (to_x - x) * s, y + (to_y - y) * s), scale) for s in shares]


def _around(at: Point, reach: float) -> Bbox:
    return Bbox.from_bounds(at[0] - reach, at[1] - reach, 2 * reach, 2 * reach)


def _together(place: Mapping[str, Point], reach: float) -> list[list[str]]:
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
    """The names, two a line, or more where that would make too many lines."""
    each = max(2, math.ceil(len(names) / LINES))
    return ",\n".join(", ".join(names[i : i + each]) for i in range(0, len(names), each))
