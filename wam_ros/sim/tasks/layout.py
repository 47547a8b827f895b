# SPDX-License-Identifier: Apache-2.0
"""Where boxes, cases and distractors lie when an attempt begins: drawn until nothing touches. Pure numpy.

What something needs for itself, with the hands that come for it, is a handful of discs on the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wam_ros.core.packing import CASE_HALF_M, HANDLE_Y_M
from wam_ros.core.types import FloatArray

# What the second and third one's middle is off the first one's.
BOX_STEPS_M = np.array([[0.0, 0.0], [0.0, 0.22], [0.15, 0.06]])
CASE_STEPS_M = np.array([[0.0, 0.0], [0.0, -0.13], [0.12, -0.06]])
OTHERS_X_M, OTHERS_Y_M = (0.14, 0.50), (-0.45, 0.50)
OTHER_HALF_Z_M = (0.035, 0.012)
BOX_RADIUS_M, HANDLE_RADIUS_M, CASE_RADIUS_M, OTHER_RADIUS_M, ARM_RADIUS_M = 0.066, 0.035, 0.065, 0.035, 0.09
NOVEL = (1.0, 1.5)  # how far beyond, of the usual half range
TRIES = 2000

Discs = FloatArray  # (N, 3) x, y, radius


@dataclass(frozen=True)
class Area:
    """Where things may lie.

    Attributes:
        work: (2,) place to keep free.
        box, case: (2,) middle of the range of the first of them.
        spreads: (3,) half ranges of boxes [m], cases [m], yaws [rad].
        novel: positions beyond these ranges.
    """

    work: FloatArray
    box: FloatArray
    case: FloatArray
    spreads: FloatArray
    novel: bool


@dataclass(frozen=True)
class Drawn:
    """(4,) poses x, y, height above the table [m], yaw [rad], of each thing."""

    boxes: tuple[FloatArray, ...]
    cases: tuple[FloatArray, ...]
    others: tuple[FloatArray, ...]


def draw(rng: np.random.Generator, area: Area, packs: int, distractors: int) -> Drawn:
    """Return poses of which none is in the way of another; the same generator, the same poses."""
    taken = [_box_discs(np.array([*area.work, 0.0, 0.0]))]
    boxes, cases, others = [], [], []
    for n in range(packs):
        boxes.append(_placed(partial(_near, rng, area, area.box + BOX_STEPS_M[n], 0, 0.0), _box_discs, taken))
    for n in range(packs):
        middle = area.case + CASE_STEPS_M[n]
        cases.append(_placed(partial(_near, rng, area, middle, 1, CASE_HALF_M[2]), _case_discs, taken))
    if distractors:
        # Boxes are carried to the place of work, and the arms come from behind it.
        taken += [
            _box_discs(a * box + (1 - a) * np.array([*area.work, 0, 0])) for box in boxes for a in (0.25, 0.5, 0.75)
        ]
        taken += [np.array([[area.work[0] - 0.12, area.work[1], ARM_RADIUS_M]])]
    for n in range(distractors):
        others.append(_placed(partial(_anywhere, rng, n), _other_discs, taken))
    return Drawn(tuple(boxes), tuple(cases), tuple(others))


def _placed(
    propose: Callable[[], FloatArray], discs_of: Callable[[FloatArray], Discs], taken: list[Discs]
) -> FloatArray:
    """Return the first proposal that touches nothing, and add it to what is taken; the last one if all do."""
    for _ in range(TRIES):
        pose = propose()
        discs = discs_of(pose)
        if all(_apart(discs, other) for other in taken):
            break
    taken.append(discs)
    return pose


def _apart(one: Discs, other: Discs) -> bool:
    distance = np.linalg.norm(one[:, None, :2] - other[None, :, :2], axis=-1)
    return bool((distance > one[:, None, 2] + other[None, :, 2]).all())


def _near(rng: np.random.Generator, area: Area, middle: FloatArray, kind: int, height_m: float) -> FloatArray:
    shares = rng.uniform(-1, 1, 3)
    if area.novel:
        low, high = NOVEL
        shares[:2] = np.sign(shares[:2]) * (low + (high - low) * np.abs(shares[:2]))
    return np.array([*middle + area.spreads[kind] * shares[:2], height_m, area.spreads[2] * shares[2]])


def _anywhere(rng: np.random.Generator, n: int) -> FloatArray:
    x, y, yaw = rng.uniform(*OTHERS_X_M), rng.uniform(*OTHERS_Y_M), rng.uniform(-np.pi, np.pi)
    return np.array([x, y, OTHER_HALF_Z_M[n % len(OTHER_HALF_Z_M)], yaw])


def _box_discs(pose: FloatArray) -> Discs:
    out = np.array([-np.sin(pose[3]), np.cos(pose[3])])  # towards the handle
    handle = pose[:2] + HANDLE_Y_M * out
    return np.array([[*pose[:2], BOX_RADIUS_M], [*handle, HANDLE_RADIUS_M]])


def _case_discs(pose: FloatArray) -> Discs:
    return np.array([[*pose[:2], CASE_RADIUS_M]])


def _other_discs(pose: FloatArray) -> Discs:
    return np.array([[*pose[:2], OTHER_RADIUS_M]])
