# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding: three axes (time, row, column) for video, one axis for actions.

Adjacent pairs of a head's dimensions are complex numbers that are turned by position * frequency
(Wan-Video/Wan2.2 wan/modules/model.py). Angles are computed in float64 and applied in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of the angle of each token and pair, each (N, head_dim / 2) float32."""

THETA = 10000.0


def angles(positions: Tensor, width: int) -> Tensor:
    """Return the angles of one axis, (N, width / 2) float64.

    Args:
        positions: (N,) places on the axis; fractions are allowed.
        width: dimensions of a head given to this axis; even.
    """
    frequency = THETA ** (-torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width)
    return positions.to(torch.float64)[:, None] * frequency


def axis_widths(head_dim: int) -> tuple[int, int, int]:
    """Return the dimensions of a head for time, row and column: 128 is 44 + 42 + 42."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def video_rotation(frames: Tensor, rows: int, columns: int, head_dim: int) -> Rotation:
    """Return the rotation of frames of rows x columns tokens, in the order time, row, column.

    Args:
        frames: (T,) time of each frame, in latent frames.
    """
    count, device = len(frames), frames.device
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    time_width, row_width, column_width = axis_widths(head_dim)
    turned = torch.cat(
        [
            angles(frames.repeat_interleave(rows * columns), time_width),
            angles(row.repeat_interleave(columns).repeat(count), row_width),
            angles(column.repeat(count * rows), column_width),
        ],
        dim=1,
    )
    return turned.cos().float(), turned.sin().float()


def row_rotation(rows: Tensor, head_dim: int) -> Rotation:
    """Return the rotation of a chunk's rows: one axis over the whole head.

    Args:
        rows: (K,) index of each row.
    """
    turned = angles(rows, head_dim)
    return turned.cos().float(), turned.sin().float()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Return heads (B, N, heads, head_dim) turned by their positions, in the dtype they came in."""
    cos, sin = (part[:, None] for part in rotation)
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)
