# SPDX-License-Identifier: Apache-2.0
"""How the surfaces that several cameras see, or are imagined to see, lie on each other; and with cameras believed elsewhere.

Clouds of one time that were made with the right calibration lie on each other. That those of an imagination do too, and lie
worse when the wrist cameras are displaced, says that its metres are metres and that its views agree on one scene.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import permutations

import numpy as np

from wam_ros.core.overlap import Gaze, meet, surface
from wam_ros.core.transforms import exp
from wam_ros.core.types import DepthImage, FloatArray

WRONG = np.r_[np.full(3, 0.01 / np.sqrt(3)), np.full(3, np.radians(2) / np.sqrt(3))]
"""Right twist of a camera that is believed 10 mm and 2 degrees from where it is, shared by all axes."""


class Alignment:
    """Distances between surfaces of two cameras, of many moments.

    Args:
        matrices: camera to the (3, 3) camera matrix of its view.
        displaced: cameras that are believed elsewhere in one of the two cases.
        far_m: from there on nothing is a surface.
    """

    def __init__(self, matrices: Mapping[str, FloatArray], displaced: Collection[str], far_m: float) -> None:
        self._matrices, self._displaced, self._far_m = dict(matrices), frozenset(displaced), far_m
        self._apart: list[FloatArray] = []
        self._wrong: list[FloatArray] = []

    def add(self, depths_m: Mapping[str, DepthImage], poses: Mapping[str, FloatArray]) -> None:
        """Count a moment: (H, W) depth [m] of each camera, and its ``T_base_camera`` (4, 4)."""
        near_m = {name: np.where(depth < self._far_m, depth, 0) for name, depth in depths_m.items()}
        elsewhere = {name: T @ exp(WRONG) if name in self._displaced else T for name, T in poses.items()}
        for found, places in ((self._apart, poses), (self._wrong, elsewhere)):
            gazes = [Gaze(depth, self._matrices[name], places[name]) for name, depth in near_m.items()]
            met = (meet(surface(one), other) for one, other in permutations(gazes, 2))
            found += [m.apart_m for m in met if m is not None]

    def figures(self) -> dict[str, float]:
        """Return the median distance [mm] as calibrated, ``apart_mm``, and displaced, ``apart_wrong_mm``; none where none met."""
        cases = {"apart_mm": self._apart, "apart_wrong_mm": self._wrong}
        return {key: 1e3 * float(np.median(np.abs(np.concatenate(found)))) for key, found in cases.items() if found}
