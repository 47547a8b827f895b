# SPDX-License-Identifier: Apache-2.0
"""The loss plot of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure


def plot_losses(rows: Sequence[dict[str, float]], names: Sequence[str], path: Path) -> None:
    """Draw losses over steps, logarithmic, into an SVG file."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for name in names:
        points = [(row["step"], row[name]) for row in rows if row[name] > 0]
        if points:
            axes.semilogy(*zip(*points, strict=True), label=f"{name} loss", linewidth=1.2)
    axes.set(xlabel="step", ylabel="weighted loss")
    axes.grid(alpha=0.25)
    if axes.lines:
        axes.legend(frameon=False)
    figure.savefig(path)
