# SPDX-License-Identifier: Apache-2.0
"""A keyboard: a key is a nudge, a key that is held repeats itself, and no key is a released dead-man.

=========================  ====================================================================================
w s a d r f                ahead, back, left, right, up, down
q e  t g  z c              turn, tilt, roll
space  tab                 open or close the gripper; the other arm
h  x                       hand back; stop the robot
1 2 3                      record, end the recording, discard it
Enter  y n                 begin an attempt; success, failure
=========================  ====================================================================================
"""

from __future__ import annotations

from wam_ros.core.types import nanoseconds
from wam_ros.teleoperation.wish import Deed, Wish

#: Time that a press moves the tool: longer than the time between a held key's repetitions.
NUDGE_S = 0.1
#: Longer than a keyboard waits before a held key repeats itself.
RELEASED_S = 0.7
_WAYS = {
    "w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1),
    "z": (3, -1), "c": (3, 1), "t": (4, 1), "g": (4, -1), "q": (5, 1), "e": (5, -1),
}  # fmt: skip
_DEEDS = {
    "h": Deed.HAND_BACK, "x": Deed.STOP, "1": Deed.RECORD, "2": Deed.RECORD_END, "3": Deed.DISCARD,
    "\n": Deed.START, "\r": Deed.START, "y": Deed.SUCCESS, "n": Deed.FAILURE,
}  # fmt: skip


class Keyboard:
    """Reads keys.

    Args:
        arms: how many the robot has.
        speed_m_s, turn_rad_s: of a tool while a key is held.
    """

    def __init__(self, arms: int, speed_m_s: float, turn_rad_s: float) -> None:
        self._arms, self._scale = arms, (speed_m_s,) * 3 + (turn_rad_s,) * 3
        self._pressed_ns: int | None = None
        self._ways: dict[int, tuple[int, int]] = {}
        self._arm = 0
        self._grip = False
        self._deeds: list[Deed] = []

    def take(self, keys: str, now_ns: int) -> None:
        """Take what was typed; keys without a meaning are passed over."""
        for key in keys.lower():
            if key in _DEEDS:
                self._deeds.append(_DEEDS[key])
            elif key in _WAYS or key in " \t":
                self._pressed_ns = now_ns
                self._move(key, now_ns)

    def wish(self, now_ns: int) -> Wish | None:
        """Return what is wanted now; None when no key has been pressed for a while."""
        if self._pressed_ns is None or now_ns - self._pressed_ns > nanoseconds(RELEASED_S):
            return None
        speed = [0.0] * 6
        for axis, (way, pressed_ns) in self._ways.items():
            if now_ns - pressed_ns <= nanoseconds(NUDGE_S):
                speed[axis] = way * self._scale[axis]
        x, y, z, roll, tilt, turn = speed
        grip, self._grip = self._grip, False
        return Wish(self._arm, (x, y, z), (roll, tilt, turn), grip)

    def deeds(self) -> list[Deed]:
        """Return what has been asked for since the last look."""
        deeds, self._deeds = self._deeds, []
        return deeds

    def _move(self, key: str, now_ns: int) -> None:
        if key == "\t":
            self._arm = (self._arm + 1) % self._arms
        elif key == " ":
            self._grip = not self._grip
        else:
            axis, way = _WAYS[key]
            self._ways[axis] = (way, now_ns)
