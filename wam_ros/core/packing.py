# SPDX-License-Identifier: Apache-2.0
"""The box in which an earphone case is packed: its shape, and what the simulator tells of it.

A box's frame lies on its floor's underside: x towards the lid's hinge, y towards the handle, z up. The lid turns about y
at the hinge; its angle is 0 when shut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import FloatArray, frozen

# Half sizes of the box, height of its walls, their thickness [m].
HALF_X_M, HALF_Y_M, WALL_M, THICK_M = 0.050, 0.038, 0.045, 0.006
LID_THICK_M = 0.006
#: The hinge's axis, in the middle of the lid's thickness.
HINGE_X_M, HINGE_Z_M = HALF_X_M, WALL_M + LID_THICK_M / 2
LID_OPEN_RAD = 1.8
#: The lid stands out by a tab, from and to these distances from the hinge.
TAB_FROM_M, TAB_TO_M, TAB_HALF_Y_M = 0.098, 0.122, 0.018
#: A block on an arm that stands off from the box, so that two hands have room; jaws close on it along y.
HANDLE_Y_M = 0.115
HANDLE_HALF_M = (0.015, 0.010, 0.0225)
CASE_HALF_M = (0.026, 0.012, 0.015)


@dataclass(frozen=True)
class Pack:
    """One box and the case that belongs into it, in the robot's base frame.

    Attributes:
        placed: (4,) where the box stood when the attempt began: x, y, z [m], yaw [rad].
        box: (5,) where it is: x, y, z, yaw, and the cosine of its tilt.
        lid_rad: angle of its lid.
        case: (5,) where the case's middle is: x, y, z, yaw, and the cosine of its tilt.
    """

    placed: FloatArray
    box: FloatArray
    lid_rad: float
    case: FloatArray

    @property
    def holds_case(self) -> bool:
        """True when the case's middle lies between the walls, below their upper edge."""
        x, y, z = in_frame(self.box, self.case[:3])
        return bool(abs(x) < HALF_X_M - THICK_M and abs(y) < HALF_Y_M - THICK_M and 0 < z < WALL_M - CASE_HALF_M[2] / 2)


_SIZES = {"placed": ("x_m", "y_m", "z_m", "yaw_rad"), "box": ("x_m", "y_m", "z_m", "yaw_rad", "upright")}
_SIZES |= {"lid_rad": ("",), "case": _SIZES["box"]}
_PER_PACK = sum(len(parts) for parts in _SIZES.values())


@dataclass(frozen=True)
class PackingTruth:
    """What the simulator tells demonstrators and judges; no policy that runs on a robot reads it.

    Attributes:
        work: (2,) x, y of the place that is kept free for packing.
        packs: boxes and cases, in the order in which they are to be packed.
        held: (arms,) index of the box or case that a hand holds between its fingers: boxes from 0, cases after the last
            box; -1 for none.
    """

    work: FloatArray
    packs: tuple[Pack, ...]
    held: FloatArray

    def place(self, index: int) -> FloatArray:
        """(5,) where a box or case of that index is, counted as in ``held``."""
        count = len(self.packs)
        return self.packs[index].box if index < count else self.packs[index - count].case

    @staticmethod
    def names(packs: int, arms: Sequence[str]) -> tuple[str, ...]:
        """Return the labels of the packed values."""
        each = [
            "_".join(word for word in (f"{name.removesuffix('_rad')}{n}", part or "rad") if word)
            for n in range(packs)
            for name, parts in _SIZES.items()
            for part in parts
        ]
        return ("work_x_m", "work_y_m", *each, *(f"held_{arm}" for arm in arms))

    def pack(self) -> FloatArray:
        """Return the values in the order of :meth:`names`."""
        each = [np.atleast_1d(getattr(pack, field.name)) for pack in self.packs for field in fields(Pack)]
        return frozen(np.concatenate([self.work, *each, self.held]))

    @classmethod
    def unpack(cls, values: FloatArray, arms: int) -> PackingTruth:
        """Return the truth of packed values.

        Raises:
            ShapeError: their number is not that of any number of boxes.
        """
        count, rest = divmod(np.size(values) - 2 - arms, _PER_PACK)
        if count < 1 or rest or np.ndim(values) != 1:
            expected = f"2 + {arms} and {_PER_PACK} for each box"
            raise ShapeError(mismatch("packing truth", expected, np.shape(values), "send the values of sim/truth"))
        each = np.reshape(values[2 : 2 + count * _PER_PACK], (count, _PER_PACK))
        packs = tuple(Pack(frozen(p[:4]), frozen(p[4:9]), float(p[9]), frozen(p[10:])) for p in each)
        return cls(frozen(values[:2]), packs, frozen(values[2 + count * _PER_PACK :]))


def on_lid(box: FloatArray, angle_rad: float, radius_m: float, off_m: float) -> FloatArray:
    """Return (3,) a point at a lid that is at an angle: so far from the hinge, so far above its middle plane when shut."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return of_frame(box, (HINGE_X_M - radius_m * cos + off_m * sin, 0, HINGE_Z_M + radius_m * sin + off_m * cos))


def of_frame(pose: FloatArray, point: Sequence[float] | FloatArray) -> FloatArray:
    """Return (3,) a point of an upright frame at (4 or more,) x, y, z, yaw, in the frame that the pose is given in."""
    out: FloatArray = pose[:3] + _turn(pose[3]) @ np.asarray(point)
    return out


def in_frame(pose: FloatArray, point: Sequence[float] | FloatArray) -> FloatArray:
    """Return (3,) a point as seen from an upright frame at (4 or more,) x, y, z, yaw; the way back of :func:`of_frame`."""
    out: FloatArray = _turn(pose[3]).T @ (np.asarray(point) - pose[:3])
    return out


def _turn(yaw: float) -> FloatArray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
