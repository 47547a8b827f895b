# SPDX-License-Identifier: Apache-2.0
"""What a model predicts beside what came: frames as pictures and rows over time, of a few windows of its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from wam_ros.models.fastwam import FastWam, Observed
from wam_ros.models.latent import Codec
from wam_ros.models.sampling import imagined, noise_for, sample
from wam_ros.training.data import Windows, frame_offsets
from wam_ros.training.objective import Batch

PICTURE = "samples.png"
COUNT = 4


def draw_samples(model: FastWam, windows: Windows, codec: Codec, path: Path, count: int = COUNT) -> None:
    """Draw a PNG file with a line for each of ``count`` windows, evenly chosen.

    On the left the observed frame, what came after it above what the model imagines; on the right the rows of the
    chunk, normalised: lines are what was done, dots what the model would do. Frames of a variant that never learned
    to imagine are noise.

    Args:
        model: on any device.
        windows: of its data.
        codec: of its latents, on the CPU.
        path: of the file.
        count: lines.
    """
    chosen = ((np.arange(count) + 0.5) * len(windows) / count).astype(int).tolist()
    batch = windows.batch(chosen, codec)
    rows, frames = _predicted(model, batch)
    came, dreamt = (_pictures(codec, batch.observed.latent, later) for later in (batch.future, frames))
    figure = Figure(figsize=(10, 2.2 * count), layout="constrained")
    for line, part in enumerate(figure.subfigures(count, 1, squeeze=False)[:, 0]):
        left, right = part.subfigures(1, 2, width_ratios=(2, 3))
        axes = left.subplots(2, came.shape[1])
        _draw_frames(axes, came[line], dreamt[line])
        for place, row in zip(axes[0], frame_offsets(model.params), strict=True):
            place.set_title(f"row {row}", fontsize=8)
        done = batch.actions[line][batch.rows_valid[line]]
        _draw_rows(right.subplots(), done.numpy(), rows[line].numpy())
    figure.savefig(path, dpi=100)


def _predicted(model: FastWam, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return rows (B, K, A) and later latent frames (B, C, T-1, h, w) on the CPU; always of the same noise."""
    device = model.proprio_encoder.weight.device
    observed = Observed(*(part.to(device) for part in batch.observed))
    noise = noise_for(model, 0, len(batch.actions))
    noise = noise[0].to(device), noise[1].to(device)
    made = sample(model, observed, noise)
    frames = imagined(model, observed, noise[1]) if made.future is None else made.future
    return made.actions.cpu(), frames.cpu()


def _pictures(codec: Codec, first: Tensor, later: Tensor) -> NDArray[np.float32]:
    """Return (B, T, H, W, 3) in 0..1."""
    clip = codec.decode(torch.cat((first, later), dim=2)).permute(0, 2, 3, 4, 1)
    shown: NDArray[np.float32] = ((clip + 1) / 2).clamp(0, 1).numpy()
    return shown


def _draw_frames(axes: NDArray[np.object_], came: NDArray[np.float32], dreamt: NDArray[np.float32]) -> None:
    for line, (name, frames) in zip(axes, (("came", came), ("imagined", dreamt)), strict=True):
        for place, frame in zip(line, frames, strict=True):
            place.imshow(frame)
            place.set(xticks=(), yticks=())
        line[0].set_ylabel(name)


def _draw_rows(axes: Axes, done: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
    for column, (was, would_be) in enumerate(zip(done.T, predicted.T, strict=True)):
        color = f"C{column % 10}"
        axes.plot(was, color=color, linewidth=1)
        axes.plot(would_be, ".", color=color, markersize=3)
    axes.set(xlabel="row", ylabel="normalised")
    axes.grid(alpha=0.25)
