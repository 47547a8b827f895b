# SPDX-License-Identifier: Apache-2.0
"""A cut through clouds of several cameras, from the side: whether their surfaces lie on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from wam_ros.core.errors import ConfigError
from wam_ros.core.types import FloatArray

COLORS = ("#6c7072", "#b3402f", "#2f6f8f")
PANEL_IN = 3.4
HALF_M = 0.012
"""Half the thickness of what is shown."""


class Cut(NamedTuple):
    """One panel.

    Attributes:
        title: above it.
        slices: camera to (N, 2) points along x and up [m], see :func:`cut`.
    """

    title: str
    slices: Mapping[str, FloatArray]


def cut(points: FloatArray, y_m: float = 0.0) -> FloatArray:
    """Return (N, 2) x and z of those of (M, 3) points that lie in a thin upright slice along x."""
    near = np.abs(points[:, 1] - y_m) < HALF_M
    return points[near][:, [0, 2]]


def draw_cuts(cuts: Sequence[Cut], x_mm: tuple[float, float], z_mm: tuple[float, float], path: Path) -> None:
    """Draw cuts side by side within these bounds of the base frame.

    Raises:
        ConfigError: the picture cannot be written.
    """
    tall_in = PANEL_IN * (z_mm[1] - z_mm[0]) / (x_mm[1] - x_mm[0])
    figure = Figure(figsize=(len(cuts) * (PANEL_IN + 0.3), tall_in + 0.9), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(cuts), sharex=True, sharey=True))
    for panel, (title, slices) in zip(panels, cuts, strict=True):
        for (name, points), color in zip(slices.items(), COLORS * len(slices), strict=False):
            panel.plot(*(1e3 * points.T), ".", ms=2.0, color=color, label=name)
        panel.set(xlim=x_mm, ylim=z_mm, xlabel="x in the base frame [mm]", aspect="equal")
        panel.set_title(title, fontsize=10)
    panels[0].set_ylabel("z [mm]")
    panels[0].legend(markerscale=5, fontsize=7, loc="upper right")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written ({error}); choose another place, ending in .png") from error
