# SPDX-License-Identifier: Apache-2.0
"""A picture of clouds side by side: what was measured, what had been imagined, and where it was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from wam_ros.core.task import Box
from wam_ros.core.types import FloatArray
from wam_ros.vision.colored_cloud import WORST, Cloud

STYLE: dict[Any, Any] = {"font.family": "sans-serif", "font.size": 9, "figure.facecolor": "white"}
DPI = 110
#: From behind the robot and above it.
ELEVATION_DEG, AZIMUTH_DEG = 48, -166
#: What is drawn around the workspace [m].
MARGIN_M = 0.05


class Row(NamedTuple):
    """The clouds of one time, and how long before it they were imagined."""

    ahead_s: float
    measured: Cloud
    imagined: Cloud
    error: Cloud


def draw_clouds(rows: Sequence[Row], workspace: Box, path: Path) -> None:
    """Write the picture: a row for each time, in columns measured, imagined, and its error.

    Args:
        rows: nearest time first.
        workspace: what is drawn, in the frame of the clouds.
        path: of the PNG.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.6 * len(rows)))
        figure.subplots_adjust(left=0, right=1, bottom=0, top=0.95, wspace=0, hspace=0.1)
        for i, row in enumerate(rows):
            when = "now" if not row.ahead_s else f"{row.ahead_s:g} s before"
            titles = "measured", f"imagined {when}", f"its error (red: {WORST:.0%} of the distance and more)"
            within = _within(row.measured, workspace)
            for j, (title, cloud) in enumerate(zip(titles, row[1:], strict=True)):
                axes = figure.add_subplot(len(rows), 3, 3 * i + j + 1, projection="3d")
                _draw(axes, cloud, within, title)
        figure.savefig(path, dpi=DPI)


def _within(cloud: Cloud, workspace: Box) -> tuple[FloatArray, FloatArray]:
    """Return the corners of the part of the workspace that holds a cloud, with a margin."""
    lower, upper = np.array(workspace.lower_m), np.array(workspace.upper_m)
    held = cloud.points[((cloud.points > lower) & (cloud.points < upper)).all(axis=1)]
    if not len(held):
        return lower, upper
    return held.min(axis=0) - MARGIN_M, held.max(axis=0) + MARGIN_M


def _draw(axes: Axes3D, cloud: Cloud, within: tuple[FloatArray, FloatArray], title: str) -> None:
    lower, upper = within
    inside = ((cloud.points > lower) & (cloud.points < upper)).all(axis=1)
    points, colors = cloud.points[inside], cloud.colors[inside] / 255
    axes.scatter(*points.T, c=colors, s=3.0, marker="o", linewidths=0, depthshade=False)
    axes.set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]), zlim=(lower[2], upper[2]))
    axes.set_box_aspect(upper - lower, zoom=2.1)
    axes.view_init(ELEVATION_DEG, AZIMUTH_DEG)
    axes.set_axis_off()
    axes.set_title(title, y=0.98)
