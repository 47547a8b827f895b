# SPDX-License-Identifier: Apache-2.0
"""The report's figures as inline SVG whose colours are the page's own, so that they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from wam_ros.core.types import FloatArray
from wam_ros.report.recording import Recording

# Colours that nothing else has stand for the page's variables until the SVG is written.
INK, MUTED, LINE, ACCENT, ACCENT_2 = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", ACCENT: "--accent", ACCENT_2: "--accent-2"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "path.simplify_threshold": 0.3,
}
#: More points than pixels only make the page heavy.
POINTS = 500


def joint_plots(recording: Recording, arms: Mapping[str, Sequence[str]], end_s: float) -> str:
    """Draw each joint's commanded and measured position over time; one column per arm.

    Args:
        recording: of one attempt.
        arms: arm name to its joints in robot order, the gripper last.
        end_s: end of the time axis.
    """
    rows = max(len(joints) for joints in arms.values())
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(h_pad=0.02, w_pad=0.08, hspace=0.04)
        figure = Figure(figsize=(5.0 * len(arms), 0.78 * rows + 0.5), layout=layout)
        grid = figure.subplots(rows, len(arms), sharex=True, squeeze=False)
        for column, (arm, joints) in enumerate(arms.items()):
            grid[0][column].set_title(arm, loc="left", color=INK, fontweight="bold", pad=6)
            for row, joint in enumerate(joints):
                _joint(grid[row][column], recording, joint, is_gripper=joint == joints[-1])
            grid[len(joints) - 1][column].set_xlabel("s")
            grid[0][column].set_xlim(0, max(end_s, 0.1))
        return _svg(figure, "joints", f"Commanded and measured positions of {len(recording.joint_names)} joints")


def histogram(samples: FloatArray, label: str, ranks: Sequence[int]) -> str:
    """Draw the distribution of samples, with lines at some percentiles; a sentence where there is none."""
    if not len(samples) or np.ptp(samples) == 0:
        said = f"{len(samples)} samples, all {samples[0]:.3g}" if len(samples) else "no sample"
        return f'<p class="quiet">{label}: {said}</p>'
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.9, 2.1), layout="constrained")
        axes = figure.subplots()
        low, high = float(np.min(samples)), float(np.max(samples))
        # A width below a thousandth of the value would show rounding, not spread.
        half = max((high - low) / 2, 0.02 * abs(high), 0.05)
        middle = (low + high) / 2
        axes.hist(samples, bins=32, range=(max(0.0, middle - half), middle + half), color=ACCENT, alpha=0.8)
        for rank in ranks:
            _percentile(axes, float(np.percentile(samples, rank)), f"p{rank}", above=rank == ranks[-1])
        axes.set_xlabel(label)
        axes.set_ylabel("count")
        axes.margins(y=0.4)
        return _svg(figure, re.sub(r"\W+", "-", label), f"Distribution of {label}")


def foresight_plot(recording: Recording, end_s: float) -> str:
    """Draw the relative error of imagined depth over time, a line for each distance ahead; nothing where there is none."""
    lines = {
        key.removeprefix("absrel_"): rows for key, rows in recording.foresight.items() if key.startswith("absrel_")
    }
    if not lines:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.0, 1.9), layout="constrained")
        axes = figure.subplots()
        for (ahead, rows), shade in zip(lines.items(), np.linspace(0.35, 1.0, len(lines)), strict=True):
            times, values = np.array(rows[:: max(1, len(rows) // POINTS)]).T
            axes.plot(times, values, color=ACCENT, alpha=float(shade), linewidth=1.4)
            axes.annotate(f" {ahead}", (times[-1], values[-1]), color=MUTED, va="center")
        for mark in recording.marks:
            axes.axvline(mark.time_s, color=LINE, linewidth=0.8, zorder=0)
        axes.set_xlim(0, max(end_s, 0.1))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("s")
        axes.set_ylabel("AbsRel")
        return _svg(figure, "foresight", "Relative error of imagined depth over time")


def _joint(axes: Axes, recording: Recording, joint: str, *, is_gripper: bool) -> None:
    column = recording.joint_names.index(joint)
    for (times, rows), color, width in ((recording.measured(), ACCENT, 1.6), (recording.commanded(), INK, 0.8)):
        step = max(1, len(times) // POINTS)
        axes.plot(times[::step], rows[::step, column], color=color, linewidth=width, solid_joinstyle="round")
    for mark in recording.marks:
        axes.axvline(mark.time_s, color=LINE, linewidth=0.8, zorder=0)
    axes.set_ylabel(_short(joint), rotation=0, ha="right", va="center", color=MUTED)
    if is_gripper:
        axes.set_ylim(-0.1, 1.1)
        axes.set_yticks([0, 1], ["closed", "open"])
    else:
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(2))
        low, high = axes.get_ylim()
        # A joint that rests must look at rest, not like magnified noise.
        axes.set_ylim(min(low, (low + high) / 2 - 0.1), max(high, (low + high) / 2 + 0.1))


def _percentile(axes: Axes, value: float, name: str, *, above: bool) -> None:
    axes.axvline(value, color=INK, linewidth=1)
    axes.annotate(
        f" {name} {value:.3g} ",
        (value, 0.99 if above else 0.86),
        xycoords=("data", "axes fraction"),
        ha="right" if value > sum(axes.get_xlim()) / 2 else "left",
        va="top",
    )


def _short(joint: str) -> str:
    """The part of a joint's name that its column does not say: ``left_arm_joint3`` is ``joint3``."""
    return joint.rsplit("_", 1)[-1]


def _svg(figure: Figure, name: str, description: str) -> str:
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[\w.-]+">', "<g>", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    return text.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
