# SPDX-License-Identifier: Apache-2.0
"""How surfaces that one camera sees, or is imagined to see, lie on those that another has measured; and if it is believed elsewhere.

Clouds of one time that were made with the right calibration lie on each other. That what is imagined of the wrist cameras lies on
what the head camera then measured, and worse with the wrist cameras displaced, says that a model's metres are metres and that its
views agree with the one scene that comes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from wam_ros.core.overlap import SCALE, Gaze, meet, surface
from wam_ros.core.transforms import exp
from wam_ros.core.types import DepthImage, FloatArray

WRONG = SCALE / np.sqrt(3)
"""Right twist of a camera that is believed 10 mm and 2 degrees from where it is, shared by all axes."""


class Alignment:
    """Distances between the surfaces of displaced cameras and those of the others, of many moments.

    Args:
        matrices: camera to the (3, 3) camera matrix of its view.
        displaced: cameras that are believed elsewhere in one of the two cases.
        far_m: from there on nothing is a surface.
    """

    def __init__(self, matrices: Mapping[str, FloatArray], displaced: Collection[str], far_m: float) -> None:
        self._matrices, self._displaced, self._far_m = dict(matrices), frozenset(displaced), far_m
        self._apart: list[FloatArray] = []
        self._wrong: list[FloatArray] = []

    def add(
        self,
        depths_m: Mapping[str, DepthImage],
        poses: Mapping[str, FloatArray],
        measured_m: Mapping[str, DepthImage],
        measured_poses: Mapping[str, FloatArray],
    ) -> None:
        """Count a moment.

        Args:
            depths_m: (H, W) depth [m] of the cameras that may be displaced, seen or imagined.
            poses: their ``T_base_camera`` (4, 4), where the calibration has them.
            measured_m, measured_poses: the same of the others, as they were measured.
        """
        others = [
            self._gaze(name, d, measured_poses[name]) for name, d in measured_m.items() if name not in self._displaced
        ]
        for name in self._displaced & depths_m.keys():
            seen = surface(self._gaze(name, depths_m[name], poses[name]))
            elsewhere = replace(seen, T_base_body=poses[name] @ exp(WRONG))
            for found, one in ((self._apart, seen), (self._wrong, elsewhere)):
                found += [met.apart_m for met in (meet(one, other) for other in others) if met is not None]

    def figures(self) -> dict[str, float]:
        """Return the median distance [mm] as calibrated, ``apart_mm``, and displaced, ``apart_wrong_mm``; none where none met."""
        cases = {"apart_mm": self._apart, "apart_wrong_mm": self._wrong}
        return {key: 1e3 * float(np.median(np.abs(np.concatenate(found)))) for key, found in cases.items() if found}

    def _gaze(self, name: str, depth_m: DepthImage, T_base_camera: FloatArray) -> Gaze:
        return Gaze(np.where(depth_m < self._far_m, depth_m, 0), self._matrices[name], T_base_camera)
