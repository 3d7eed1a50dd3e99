"""Names in a picture: each beside its point, none over another name, a point or a line."""

from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tuner.labels import Point, label


def crowd(count: int, seed: int) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [(float(x), float(y)) for x, y in rng.normal(5.0, 1.2, (count, 2))]


def drawn(points: dict[str, Point], others: list[Point], lines: list[tuple[Point, Point]]) -> Axes:
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0.0, 10.0)
    axes.set_ylim(0.0, 10.0)
    label(figure, axes, points, others, lines)
    figure.draw_without_rendering()
    return axes


def pixels(axes: Axes, at: Point) -> Bbox:
    x, y = axes.transData.transform(at)
    return Bbox.from_bounds(x - 1, y - 1, 2, 2)


@pytest.mark.parametrize("seed", range(5))
def test_in_a_crowd_every_name_stands_free(seed: int) -> None:
    points = {f"policy-{n}": at for n, at in enumerate(crowd(8, seed))}
    others = crowd(60, seed + 100)
    line = [(2.0 + n / 10, 3.0 + n / 10) for n in range(30)]
    axes = drawn(points, others, [(line[0], line[-1])])
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the leader
    named = ", ".join(text.get_text() for text in axes.texts).replace(",\n", ", ").split(", ")
    assert sorted(named) == sorted(points)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = [pixels(axes, at) for at in (*points.values(), *others, *line)]
    assert not any(box.overlaps(mark) for box in boxes for mark in marks)
    room = axes.get_window_extent()
    assert all(room.fully_containsx(box.x0) and room.fully_containsy(box.y1) for box in boxes)


def test_points_that_coincide_share_a_label_of_a_few_lines() -> None:
    names = [f"policy-{n}" for n in range(14)]
    axes = drawn(dict.fromkeys(names, (5.0, 9.6)), [], [])
    (text,) = (text.get_text() for text in axes.texts)
    assert text.replace(",\n", ", ").split(", ") == names
    assert text.count("\n") < 5
