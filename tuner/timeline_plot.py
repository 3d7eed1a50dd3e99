"""A timeline as a picture: cores above, queues in the middle, drops below, one axis of time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from envs.host import HostSpec
from envs.sim.trace import IDLE, Trace
from tuner.plots import BLUE, FAINT, GRID, INK, ORANGE, RED, house_style

COLUMNS = 1500
"""Columns of the picture of the cores; shorter runs mix with what is beside them."""
BACKENDS = (ORANGE, "#F6C667", "#B87A00", "#FFE2A8")
GUESTS = (BLUE, "#56B4E9", "#009E73", "#1B4F72", "#7FC8A9", "#0D9488")
BUSY = ("#9a9a9a", "#c4c4c4", "#777777", "#dcdcdc")
SPUN = "#F4D9B8"
SPINNING = "a poller with nothing to do"
SHOWN = 6
"""The most vifs that are drawn, those that drop or fill most."""


def picture(title: str, spec: HostSpec, seen: Trace) -> Figure:
    """Who ran on which core (blank: idle), packets in the vifs' queues, and drops as they come.

    On the right: how busy each core was, the length of each queue, the drops in all.
    """
    house_style()
    height = 0.55 + 0.24 * len(seen.cores)
    figure = Figure(figsize=(9.6, 3.9 + height), layout="constrained")
    top, middle, bottom = figure.subplots(
        3, 1, sharex=True, height_ratios=[max(height, 1.6), 1.6, 0.9]
    )
    colours = _colours(spec, seen)
    shown = _worst(seen)
    _cores(top, spec, seen, colours)
    _queues(middle, seen, shown)
    _drops(bottom, seen, [*shown, *range(len(seen.vifs), seen.drops.shape[1])])
    top.set_title(title, loc="left")
    bottom.set_xlabel("milliseconds")
    bottom.set_xlim(0.0, 1e3 * seen.seconds[-1])
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
        loc="outside lower center", ncols=min(8, max(4, len(colours) // 2)), frameon=False,
        fontsize=8,
    )  # fmt: skip
    return figure


def _colours(spec: HostSpec, seen: Trace) -> dict[str, str]:
    """A colour for each backend and guest: warm, cool, and grey if CPU-bound."""
    io = [guest.name for guest in spec.guests if guest.role == "io"]
    busy = [guest.name for guest in spec.guests if guest.role == "cpu"]
    colours = _cycle([backend.name for backend in spec.backends], BACKENDS)
    colours |= _cycle(io, GUESTS) | _cycle(busy, BUSY)
    return colours | ({SPINNING: SPUN} if seen.polled else {})


def _cycle(names: Sequence[str], colours: Sequence[str]) -> dict[str, str]:
    return {name: colours[at % len(colours)] for at, name in enumerate(names)}


def _cores(axes: Axes, spec: HostSpec, seen: Trace, colours: Mapping[str, str]) -> None:
    owners = [b.name for b in spec.backends] + [spec.guest_of(v).name for v in spec.vcpus]
    palette = np.array([*(to_rgb(colours[name]) for name in owners), to_rgb("white")])
    pixels = palette[seen.running]  # IDLE is the last
    polled = np.isin(seen.cores, seen.polled)
    pixels[(seen.running == IDLE) & polled] = to_rgb(SPUN)
    moments = np.array_split(pixels, min(COLUMNS, len(pixels)))
    image = np.stack([part.mean(axis=0) for part in moments], axis=1)
    axes.imshow(
        image, aspect="auto", interpolation="nearest",
        extent=(0.0, 1e3 * seen.seconds[-1], len(image) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(image)), [f"core {core}" for core in seen.cores])
    axes.tick_params(axis="y", length=0)
    for at, (core, before) in enumerate(zip(spec.cores[1:], spec.cores, strict=False)):
        axes.axhline(at + 0.5, color=INK if core.llc != before.llc else GRID, lw=0.8)
    busy = np.where(polled, 1.0, (seen.running != IDLE).mean(axis=0))
    for at, share in enumerate(busy):
        _beside(axes, at, f"{share:.0%}", FAINT)


def _worst(seen: Trace) -> list[int]:
    """The vifs to show."""
    vifs = range(len(seen.vifs))
    troubled = sorted(vifs, key=lambda v: (-seen.drops[-1, v], -seen.queued[:, v].max()))
    return sorted(troubled[:SHOWN])


def _queues(axes: Axes, seen: Trace, shown: Sequence[int]) -> None:
    on_top = f" + {seen.ring}" if seen.ring else ""
    for (name, colour), vif in zip(
        _cycle([seen.vifs[v] for v in shown], GUESTS).items(), shown, strict=True
    ):
        label = f"{name} (of {seen.limits[vif]}{on_top})"
        axes.plot(1e3 * seen.seconds, seen.queued[:, vif], lw=0.8, color=colour, label=label)
    axes.set_ylabel("packets queued")
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color=GRID, lw=0.7)
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False,
        title="queue + free ring slots" if seen.ring else None, title_fontsize=7,
    )  # fmt: skip


def _drops(axes: Axes, seen: Trace, shown: Sequence[int]) -> None:
    """A mark for each moment at which a queue dropped, its size by how much."""
    names = [*seen.vifs, "NIC ring", "uplink"]
    for row, column in enumerate(shown):
        dropped = np.diff(seen.drops[:, column], prepend=0)
        when = np.flatnonzero(dropped)
        axes.scatter(
            1e3 * seen.seconds[when], np.full(len(when), row), color=RED, alpha=0.5, lw=0,
            s=6 + 2 * np.minimum(dropped[when], 60),
        )  # fmt: skip
        _beside(axes, row, f"{dropped.sum()} dropped", RED if dropped.any() else FAINT)
    axes.set_yticks(range(len(shown)), [names[column] for column in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=GRID, lw=0.7)


def _beside(axes: Axes, row: int, text: str, colour: str) -> None:
    axes.annotate(
        text, xy=(1.0, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", va="center", fontsize=7, color=colour,
    )  # fmt: skip
