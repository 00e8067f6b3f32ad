"""Charts: differences with their intervals, and training curves, as SVG.

They are drawn on white with the font that comes with matplotlib, so that a chart is the same, byte for byte, on every
machine.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seediff.errors import SeediffError
from seediff.files.sealed import read_csv
from seediff.names import visible
from seediff.workflow.reporting.findings import Findings, Pair, Verdict

INK, MUTED, FAINT, ACCENT = "#1f2328", "#6b7280", "#cdd1d7", "#2a6f97"
RED = "#b5482a"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.hashsalt": "seediff",
    "svg.fonttype": "path",
}
PANELS = 4
"""Panels in a row of training curves."""
MARKS: dict[Verdict, tuple[str, str, str]] = {
    "supported": ("o", ACCENT, ACCENT),
    "contradicted": ("D", RED, RED),
    "undecided": ("o", MUTED, "white"),
}
"""Of each verdict: marker, colour, and what the marker is filled with."""
LABEL, LINE = 52, 0.165
"""Letters in a line of a label, and the height of the line in inches."""


@dataclass(frozen=True)
class _Entry:
    """A table's title, or a ``pair`` of its rows, at its ``place``, in lines from the top."""

    label: str
    place: float
    pair: Pair | None


def verdict_chart(findings: Sequence[Findings]) -> bytes | None:
    """SVG of every pair of rows that has a verdict, table by table: how far the paper's better row is ahead, and the
    95 % interval, in percentage points. None if there is no such pair."""
    entries, height = _entries(findings)
    pairs = [(entry.place, entry.pair) for entry in entries if entry.pair]
    if not pairs:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, LINE * height + 0.8), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.grid(axis="x", color=FAINT, linewidth=0.5)
        axis.set_axisbelow(True)
        left, right = _bounds([pair for _, pair in pairs])
        for verdict, (marker, colour, fill) in MARKS.items():
            found = [(place, pair) for place, pair in pairs if pair.verdict == verdict]
            for place, pair in found:
                _interval(axis, place, pair, colour, left, right)
            values = [pair.in_papers_order[2].value for _, pair in found]
            places, label = [place for place, _ in found], f"{verdict}: {len(found)}"
            axis.plot(values, places, marker, label=label, markersize=5, color=colour, markerfacecolor=fill)
        axis.set_xlim(left, right)
        axis.set_ylim(height, 0)
        _label(axis, entries)
        axis.set_xlabel("points by which the row that the paper has ahead is ahead here, with the 95 % interval")
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
        return _svg(figure)


def _entries(findings: Sequence[Findings]) -> tuple[list[_Entry], float]:
    """Titles and pairs from the top to the bottom, and the height of all in lines."""
    entries, top = list[_Entry](), 0.0
    for texts, pair in _texts(findings):
        lines = [line for text in texts for line in textwrap.wrap(visible(text), LABEL, max_lines=2, placeholder=" …")]
        gap = 0.4 if pair else 0.9 * (top > 0) + 0.4
        entries.append(_Entry("\n".join(lines), top + gap + len(lines) / 2, pair))
        top += gap + len(lines)
    return entries, top + 0.4


def _texts(findings: Sequence[Findings]) -> Iterator[tuple[tuple[str, ...], Pair | None]]:
    """The label's parts, each of which begins a line, and the pair that it is of."""
    for found in findings:
        pairs = [pair for pair in found.pairs if pair.verdict]
        if pairs:
            yield (found.title,), None
        for pair in pairs:
            better, worse, _ = pair.in_papers_order
            whole = f"{better} over {worse}"
            yield ((whole,) if len(whole) <= LABEL else (better, f"over {worse}")), pair


def _bounds(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Of the axis: all differences and zero are in it, and intervals unless they are much wider than these."""
    found = [pair.in_papers_order[2] for pair in pairs]
    least, most = (choose(0.0, *(each.value for each in found)) for choose in (min, max))
    room = max(5.0, (most - least) / 2)
    low, high = min(each.low for each in found), max(each.high for each in found)
    return max(min(low, 0.0), least - room) - 0.5, min(max(high, 0.0), most + room) + 0.5


def _interval(axis: Axes, place: float, pair: Pair, colour: str, left: float, right: float) -> None:
    """A line that ends in an arrow where it goes on beyond the axis."""
    *_, ours = pair.in_papers_order
    axis.plot([max(ours.low, left), min(ours.high, right)], [place, place], color=colour, linewidth=1.4)
    for end, marker, beyond in ((left, "<", ours.low < left), (right, ">", ours.high > right)):
        if beyond:
            axis.plot(end, place, marker, color=colour, markersize=5, clip_on=False)


def _label(axis: Axes, entries: Sequence[_Entry]) -> None:
    """Pairs beside the axis, titles in bold over theirs."""
    places, labels = [entry.place for entry in entries], [entry.label for entry in entries]
    axis.set_yticks(places, labels, color=INK, parse_math=False, linespacing=1.1)
    for tick, entry in zip(axis.get_yticklabels(), entries, strict=True):
        tick.set_fontweight("normal" if entry.pair else "bold")
    axis.tick_params(length=0)
    axis.spines["left"].set_visible(False)


def training_curves(histories: Mapping[str, Sequence[Path]]) -> bytes:
    """SVG with a panel for each ``recipe/segmenter``: the loss of its repeats, over the range of its segmenter's runs.

    Losses of different segmenters cannot be compared, so only panels of the same segmenter share a scale.
    """
    curves = {name: [_smoothed_loss(path) for path in paths] for name, paths in histories.items() if paths}
    if not curves:
        raise SeediffError("There is no training history to draw.")
    ranges = _ranges(curves)
    columns = min(PANELS, len(curves))
    rows = math.ceil(len(curves) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * columns + 0.4, 1.75 * rows + 0.3), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axis, (name, losses) in zip(axes, curves.items(), strict=False):
            _curve_panel(axis, name, losses, ranges[_segmenter(name)])
        for axis in axes[len(curves) - columns : len(curves)]:
            axis.tick_params(labelbottom=True)
        for axis in axes[len(curves) :]:
            axis.remove()
        figure.supxlabel("iteration", fontsize=8, color=MUTED)
        figure.supylabel("loss", fontsize=8, color=MUTED)
        return _svg(figure)


def _segmenter(name: str) -> str:
    return name.rpartition("/")[2]


def _ranges(curves: Mapping[str, Sequence[pd.Series]]) -> dict[str, pd.DataFrame]:
    """By segmenter, the ``min`` and ``max`` of the loss over all its runs, by iteration."""
    runs: dict[str, list[pd.Series]] = {}
    for name, losses in curves.items():
        runs.setdefault(_segmenter(name), []).extend(losses)
    return {name: pd.concat(losses, axis=1).agg(["min", "max"], axis=1) for name, losses in runs.items()}


def _smoothed_loss(path: Path) -> pd.Series:
    """Running mean of the loss over a fortieth of the history, by iteration."""
    rows = read_csv(path, "The training history")
    try:
        if not rows:
            raise ValueError
        loss = pd.Series({int(row["iteration"]): float(row["loss"]) for row in rows})
    except (ValueError, KeyError):
        raise SeediffError(f"Training history {path} has no columns 'iteration' and 'loss'.") from None
    return loss.rolling(max(1, len(loss) // 40), min_periods=1, center=True).mean()


def _curve_panel(axis: Axes, name: str, losses: Sequence[pd.Series], of_all: pd.DataFrame) -> None:
    axis.fill_between(of_all.index, of_all["min"], of_all["max"], color=FAINT, linewidth=0)
    for loss in losses:
        axis.plot(loss.index, loss, color=ACCENT, linewidth=1.3)
    axis.set_title(name.replace("/", "\n"), loc="left", fontsize=9)
    axis.tick_params(length=0)
    axis.set_ylim(bottom=0)


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
