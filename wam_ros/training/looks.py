# SPDX-License-Identifier: Apache-2.0
"""Other looks of what was recorded: colours, light and the place of a camera, drawn anew each time a window is seen.

Demonstrations show a few hundred towels, lamps and mounts, each in a hundred rows, which a model may learn by heart; what is
drawn here costs nothing to record. All frames of a window share what was drawn for a view: nothing that moves or
changes in time is made up. A shift makes it less certain where things are: docs/training.md has what that has cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.policy import Cell

_GREY = torch.full((3, 3), 1 / 3)


@dataclass(frozen=True)
class Looks:
    """Half ranges around what was recorded; all zero is what was recorded.

    Attributes:
        share: of the views of all windows that look other than recorded, 0..1.
        brightness: of all channels, relative.
        tint: of each channel for itself, relative.
        hue_rad: by how much colours turn about grey.
        saturation: of colours, relative.
        gamma: of the exponent, in natural logarithms.
        shift: of a picture, in parts of its width and height.
        roll_rad: by how much a picture turns about its middle.
    """

    share: float = 0.0
    brightness: float = 0.0
    tint: float = 0.0
    hue_rad: float = 0.0
    saturation: float = 0.0
    gamma: float = 0.0
    shift: float = 0.0
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), np.pi if field.name == "hue_rad" else 1
            if not 0 <= value <= most:
                raise ConfigError(mismatch(f"looks: {field.name}", f"0 to {most:g}", value, "choose another range"))

    def draw(self, count: int) -> Drawn:
        """Return what so many views look like, drawn from torch's generator."""
        other = (torch.rand(count) < self.share).double()

        def within(half: float, *shape: int) -> Tensor:
            drawn = half * (2 * torch.rand(count, *shape, dtype=torch.float64) - 1)
            return drawn * other.reshape(count, *(1 for _ in shape))

        gains = torch.diag_embed((1 + within(self.brightness, 1)) * (1 + within(self.tint, 3)))
        turns = Rotation.from_rotvec(within(self.hue_rad, 1).numpy() * np.full(3, 3**-0.5)).as_matrix()
        vivid = (1 + within(self.saturation))[:, None, None]
        colours = gains @ (_GREY + vivid * (torch.from_numpy(turns) - _GREY))
        places = within(self.roll_rad).float(), within(self.shift, 2).float()
        return Drawn(colours.float(), within(self.gamma).exp().float(), *places)


AS_RECORDED = Looks()


class Drawn(NamedTuple):
    """How B views look.

    Attributes:
        colours: (B, 3, 3) of what was recorded, in 0..1.
        gammas: (B,) exponents.
        rolls: (B,) angles about a picture's middle [rad].
        shifts: (B, 2) to the right and down, in parts of its width and height.
    """

    colours: Tensor
    gammas: Tensor
    rolls: Tensor
    shifts: Tensor

    def recoloured(self, pictures: Tensor) -> Tensor:
        """Return (B, 3, ...) pictures in -1..1 in other colours and another light."""
        flat = (pictures.flatten(2) + 1) / 2
        lit = (self.colours @ flat).clamp(0, 1) ** self.gammas[:, None, None]
        return (2 * lit - 1).reshape(pictures.shape)

    def displaced(self, pictures: Tensor, between: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
        """Return (B, C, ..., H, W) pictures as a displaced camera sees them; its border is repeated."""
        count, height, width = len(pictures), *pictures.shape[-2:]
        flat = pictures.reshape(count, -1, height, width)
        cos, sin = self.rolls.cos(), self.rolls.sin()
        # Coordinates run from -1 to 1 along both sides, however long they are.
        turns = torch.stack([cos, sin * height / width, -sin * width / height, cos], dim=1).reshape(count, 2, 2)
        places = torch.cat([turns, -2 * self.shifts[:, :, None]], dim=2)
        grid = affine_grid(places, list(flat.shape), align_corners=False)
        moved = grid_sample(flat, grid, mode=between, padding_mode="border", align_corners=False)
        return moved.reshape(pictures.shape)


def redrawn(mosaics: Tensor, cells: Sequence[Cell], looks: Looks) -> Tensor:
    """Return (B, 3, T, H, W) clips of mosaics in -1..1 each of whose views has a look of its own."""
    if not looks.share:
        return mosaics
    out = mosaics.clone()
    for cell in cells:
        place = (..., slice(cell.top, cell.top + cell.height), slice(cell.left, cell.left + cell.width))
        drawn = looks.draw(len(mosaics))
        out[place] = drawn.displaced(drawn.recoloured(mosaics[place]))
    return out


def redrawn_deep(clips: Tensor, depths: Tensor, looks: Looks) -> tuple[Tensor, Tensor]:
    """Return clips (B, V, 3, T, H, W) in -1..1 each of whose views has a look of its own, and (B, V, T, H, W) depth of it."""
    if not looks.share:
        return clips, depths
    drawn = looks.draw(clips.shape[0] * clips.shape[1])
    seen = drawn.displaced(drawn.recoloured(clips.flatten(0, 1)))
    return seen.reshape(clips.shape), drawn.displaced(depths.flatten(0, 1), "nearest").reshape(depths.shape)
