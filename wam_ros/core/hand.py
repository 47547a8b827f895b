# SPDX-License-Identifier: Apache-2.0
"""A robot's hand as a surface that is known: what a camera must see of it, wherever the arm has it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.overlap import Gaze, Surface, seen_behind
from wam_ros.core.transforms import apply, invert
from wam_ros.core.types import FloatArray

GRID_M = 0.003
"""Distance of the points taken from a face."""
EDGE_PX = 4.0
"""A point this near to a face's edge, or to what hides it, may be seen beside it."""

AROUND_M = 0.012
"""How far around a face is looked for what goes on beyond it."""
COVER_M = 0.004
"""What is seen around a face must be so much farther than its plane."""
FEWEST = 8
"""Points around a box that show that it is bare."""


@dataclass(frozen=True)
class Hand:
    """The boxes that a gripper with its fingers consists of, and those of the arm behind it, which may hide them.

    Attributes:
        T_base_arm: (4, 4) where the arm's base is believed to be.
        T_arm_box: (B, 4, 4) middles of the boxes; ``half_m`` (B, 3) their half sides.
        own: (B,) whether a box belongs to the hand; the others only hide.
    """

    T_base_arm: FloatArray
    T_arm_box: FloatArray
    half_m: FloatArray
    own: NDArray[np.bool_]

    def middle(self) -> FloatArray:
        """(4,) middle of the hand in the arm's base frame, homogeneous."""
        place: FloatArray = self.T_arm_box[self.own, :, 3].mean(axis=0)
        return place

    def seen_by(self, gaze: Gaze) -> Surface:
        """Return the points, in the arm's base frame, that a camera must see.

        A finger or palm counts if around it something farther is seen: what lies over it, as cloth does, goes on beyond it.
        """
        eye = apply(invert(self.T_base_arm), gaze.T_base_camera[:3, 3])
        eyes = np.stack([apply(invert(T), eye) for T in self.T_arm_box])
        outside = (np.abs(eyes) > self.half_m).any(axis=1)  # a box around the camera is its own housing
        boxes = replace(self, T_arm_box=self.T_arm_box[outside], half_m=self.half_m[outside], own=self.own[outside])
        points, normals, inset_m, owner = boxes._faces()
        edge_m = EDGE_PX / gaze.matrix[0, 0] * np.linalg.norm(points - eye, axis=1)
        shown = (np.abs(inset_m) > edge_m) & (np.einsum("ij,ij->i", normals, eye - points) > 0)
        points, normals, inset_m, owner = points[shown], normals[shown], inset_m[shown], owner[shown]
        clear = ~boxes._hidden(points, eye, edge_m[shown], np.where(inset_m > 0, owner, -1))
        farther, known = seen_behind(Surface(points, normals, self.T_base_arm), gaze, COVER_M)
        beside = clear & known & (inset_m < 0)
        around = np.bincount(owner[beside], minlength=len(boxes.own))
        bare = np.bincount(owner[beside & farther], minlength=len(boxes.own)) > np.maximum(around / 2, FEWEST)
        clear &= (inset_m > 0) & bare[owner]
        return Surface(points[clear], normals[clear], self.T_base_arm)

    def _faces(self) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]:
        """Points on and around all faces of the hand, their normals, how far inside the edge they are, and of which box."""
        owners = np.repeat(np.flatnonzero(self.own), 6)
        found = [_face(self.T_arm_box[i], self.half_m[i], side % 6) for side, i in enumerate(owners)]
        points, normals, inset_m = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return points, normals, inset_m, np.repeat(owners, [len(part[0]) for part in found])

    def _hidden(
        self, points: FloatArray, eye: FloatArray, edge_m: FloatArray, owner: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """(N,) whether another box, wider by what its edge may hide, stands between a point and the eye."""
        hidden = np.zeros(len(points), dtype=np.bool_)
        for i, (T, half) in enumerate(zip(self.T_arm_box, self.half_m, strict=True)):
            start, end = apply(invert(T), points), apply(invert(T), eye)
            way, wide = end - start, half + edge_m[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                one, two = (-wide - start) / way, (wide - start) / way
            enter, leave = np.minimum(one, two).max(axis=1), np.maximum(one, two).min(axis=1)
            hidden |= (owner != i) & (np.maximum(enter, 0.0) < np.minimum(leave, 1.0))
        return hidden


def _face(T: FloatArray, half: FloatArray, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Points in the plane of one of a box's six faces, their normals, and how far inside its edge they are."""
    axis, sign = side % 3, 1.0 if side < 3 else -1.0
    across = [i for i in range(3) if i != axis]
    spans = [np.arange(-half[i] - AROUND_M + GRID_M / 2, half[i] + AROUND_M, GRID_M) for i in across]
    u, v = (a.reshape(-1) for a in np.meshgrid(*spans))
    points = np.zeros((len(u), 3))
    points[:, axis], points[:, across[0]], points[:, across[1]] = sign * half[axis], u, v
    normals = np.tile(sign * T[:3, axis], (len(u), 1))
    return apply(T, points), normals, np.minimum(half[across[0]] - np.abs(u), half[across[1]] - np.abs(v))
