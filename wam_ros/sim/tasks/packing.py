# SPDX-License-Identifier: Apache-2.0
"""The measure of an earphone case that is packed into its box. Pure numpy.

Four stages of equal weight, as in the X-WAM paper (arXiv 2604.26694): the box is grasped, its lid is opened, the case is
inserted, and the lid is shut and the box is put back. The first three stay reached; the last one is looked at anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wam_ros.core.packing import LID_OPEN_RAD, Pack

STAGES = ("grasped", "opened", "inserted", "returned")
LIFTED_M = 0.01
UPRIGHT = 0.97  # cosine of a tilt of 14 degrees
OPENED_RAD = LID_OPEN_RAD * 2 / 3
SHUT_RAD = 0.1
PLACE_M, PLACE_RAD, SETTLED_M = 0.03, 0.3, 0.005


@dataclass(frozen=True)
class Course:
    """Which stages of one pack have been reached for good."""

    grasped: bool = False
    opened: bool = False
    inserted: bool = False

    def after(self, pack: Pack, box_held: bool, case_held: bool) -> Course:
        """Return the course after what is seen now.

        Args:
            pack: box and case.
            box_held, case_held: some hand holds it.
        """
        return replace(
            self,
            grasped=self.grasped or (box_held and pack.box[2] - pack.placed[2] > LIFTED_M),
            opened=self.opened or pack.lid_rad > OPENED_RAD,
            inserted=self.inserted or (pack.holds_case and not case_held),
        )


def returned(pack: Pack, box_held: bool) -> bool:
    """True when the box stands shut where it stood, the case in it, and nobody holds it."""
    found = measures(pack)
    stands = abs(found["height_m"]) < SETTLED_M and pack.box[4] > UPRIGHT
    back = found["shift_m"] < PLACE_M and abs(found["turn_rad"]) < PLACE_RAD
    return pack.holds_case and pack.lid_rad < SHUT_RAD and stands and back and not box_held


def measures(pack: Pack) -> dict[str, float]:
    """Return how far the box is from where it stood, and the angle of its lid."""
    turn = pack.box[3] - pack.placed[3]
    return {
        "shift_m": float(np.linalg.norm(pack.box[:2] - pack.placed[:2])),
        "turn_rad": float(np.arctan2(np.sin(turn), np.cos(turn))),
        "height_m": float(pack.box[2] - pack.placed[2]),
        "lid_rad": pack.lid_rad,
    }
