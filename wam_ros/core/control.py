# SPDX-License-Identifier: Apache-2.0
"""Who leads the arms: the policy, or a person who has taken over (docs/adr/0008).

Motion follows one of them at a time. Control changes hands only when somebody asks for it: a person who lets go
leaves the arms at rest and keeps control, and a policy never begins to move arms that were taken from it.
Pure: time, chunks and positions are passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.methods import at_times
from wam_ros.core.safety import POLICY, TELEOP, Answer
from wam_ros.core.types import Chunk, FloatArray

#: Those whose chunks come on ``<source>/chunk``.
SOURCES = (POLICY, TELEOP)


class Control:
    """Decides whose chunks are followed.

    Args:
        names: (J,) joints in robot order.
        gripper_mask: (J,) True for grippers, which may differ at a takeover.
        takeover_rad: farther than this from the robot nobody takes over.

    Attributes:
        source: who leads: ``policy`` or ``teleop``.
        takeovers: how often a person has taken over.
        ignored: chunks of each source that came while another one led.
    """

    def __init__(self, names: Sequence[str], gripper_mask: Sequence[bool], takeover_rad: float) -> None:
        self.source = POLICY
        self.takeovers = 0
        self.ignored: Counter[str] = Counter()
        self._names, self._arms = tuple(names), ~np.array(gripper_mask)
        self._takeover_rad = takeover_rad
        self._wished: Chunk | None = None

    def follows(self, source: str, chunk: Chunk) -> bool:
        """Say whether a chunk is to be followed; one that is not is counted."""
        if source == TELEOP:
            self._wished = chunk
        followed = source == self.source
        self.ignored[source] += not followed
        return followed

    def take_over(self, here: FloatArray | None, now_ns: int) -> Answer:
        """Let the person lead from now on, if there is one, and where the robot is.

        Args:
            here: (J,) where the robot is told to be, or is; None when nobody knows.
            now_ns: control time.
        """
        if self.source == TELEOP:
            return Answer(True, "teleop leads already")
        obstacle = self._obstacle(here, now_ns)
        if obstacle:
            return Answer(False, f"takeover refused: {obstacle}")
        self.source = TELEOP
        self.takeovers += 1
        return Answer(True, "teleop leads")

    def hand_back(self) -> Answer:
        """Let the policy lead from now on."""
        was, self.source = self.source, POLICY
        return Answer(True, "the policy leads" if was == TELEOP else "the policy leads already")

    def astray(self, wanted: FloatArray | None, here: FloatArray | None, most_rad: float) -> str:
        """Return how near the person who leads must come to be followed; empty while he is, and while the policy leads.

        Args:
            wanted: (J,) where the newest chunk begins, if it was refused for beginning too far away; else None.
            here: (J,) where the robot is; None when nobody knows.
            most_rad: from how far a chunk is followed.
        """
        if self.source != TELEOP or wanted is None or here is None:
            return ""
        return self._too_far(wanted, here, most_rad)

    def _obstacle(self, here: FloatArray | None, now_ns: int) -> str:
        wished = self._wished
        if wished is None or wished.times_ns[-1] <= now_ns:
            return "expected a fresh chunk on teleop/chunk, got none; start the teleop node, hold its dead-man"
        if here is None:
            return "expected joint feedback, got none; start the robot's driver"
        if wished.names != self._names:
            return (
                f"expected the joints {', '.join(self._names)}, got {', '.join(wished.names)}; correct the teleop node"
            )
        return self._too_far(at_times(wished, (now_ns,))[0][0], here, self._takeover_rad)

    def _too_far(self, wanted: FloatArray, here: FloatArray, most_rad: float) -> str:
        joint, apart_rad = farthest(self._names, self._arms, wanted, here)
        if abs(apart_rad) <= most_rad:
            return ""
        return (
            f"{joint} of the leader is {apart_rad:+.2f} rad from the robot's, expected at most {most_rad:g}; "
            "bring the leader to where the robot is"
        )


def farthest(names: Sequence[str], arms: NDArray[np.bool_], wanted: FloatArray, here: FloatArray) -> tuple[str, float]:
    """Return the joint of the arms that is farthest from where it is wanted, and by how much [rad]."""
    apart = (wanted - here) * arms
    worst = int(np.abs(apart).argmax())
    return names[worst], float(apart[worst])
