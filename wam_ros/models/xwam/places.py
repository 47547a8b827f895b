# SPDX-License-Identifier: Apache-2.0
"""Where rows and states lie in time, in latent frames: fractions, with row and column at zero."""

from __future__ import annotations

import torch
from torch import Tensor

from wam_ros.models.rope import Rotation, angles, axis_widths
from wam_ros.models.xwam.params import XWamParams


def row_places(params: XWamParams, device: torch.device | str = "cpu") -> Tensor:
    """Return the times (K,) of the rows: row k at k / 16 in the released model."""
    step = (params.latent.frames - 1) / params.horizon
    return torch.arange(params.horizon, dtype=torch.float64, device=device) * step


def state_places(params: XWamParams, device: torch.device | str = "cpu") -> Tensor:
    """Return the times (S,) of the states, the first one observed: state j at j / 4 in the released model."""
    step = (params.latent.frames - 1) / (params.states - 1)
    return torch.arange(params.states, dtype=torch.float64, device=device) * step


def row_rotation(places: Tensor, head_dim: int) -> Rotation:
    """Return the rotation of tokens that have a time and no place in the picture."""
    time_width, row_width, column_width = axis_widths(head_dim)
    turned = angles(places, time_width)
    still = turned.new_zeros(len(places), (row_width + column_width) // 2)
    turned = torch.cat((turned, still), dim=1)
    return turned.cos().float(), turned.sin().float()
