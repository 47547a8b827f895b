# SPDX-License-Identifier: Apache-2.0
"""A gamepad of the common layout, as ``joy_node`` tells it: eight axes, and at least eight buttons.

=================  ============================================================================================
hold LB            the dead-man: nothing moves without it, and pressing it takes over
left stick         ahead, back, left, right; with RB held: tilt
right stick        up, down, turn
A / Y              open or close the gripper / the other arm
B / BACK           hand back / stop the robot
cross              up: record, down: end the recording, right: success, left: failure; START: begin an attempt
=================  ============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import nanoseconds
from wam_ros.teleoperation.wish import Deed, Wish

A, B, _, Y, LB, RB, BACK, START = range(8)
LEFT_X, LEFT_Y, _, RIGHT_X, RIGHT_Y, _, CROSS_X, CROSS_Y = range(8)
#: A stick that was let go rests within this; joy_node repeats what is held, so silence means a cable or a battery.
DEAD_ZONE, SILENCE_S = 0.1, 0.5
_BUTTONS = {B: Deed.HAND_BACK, BACK: Deed.STOP, START: Deed.START}
_CROSS = {
    (CROSS_Y, 1): Deed.RECORD,
    (CROSS_Y, -1): Deed.RECORD_END,
    (CROSS_X, 1): Deed.FAILURE,
    (CROSS_X, -1): Deed.SUCCESS,
}


class Gamepad:
    """Reads a gamepad.

    Args:
        arms: how many the robot has.
        speed_m_s, turn_rad_s: of a tool when a stick is pushed to its end.
    """

    def __init__(self, arms: int, speed_m_s: float, turn_rad_s: float) -> None:
        self._arms, self._speed_m_s, self._turn_rad_s = arms, speed_m_s, turn_rad_s
        self._axes: tuple[float, ...] = (0.0,) * 8
        self._buttons: tuple[int, ...] = (0,) * 8
        self._heard_ns: int | None = None
        self._arm = 0
        self._grip = False
        self._deeds: list[Deed] = []

    def take(self, axes: Sequence[float], buttons: Sequence[int], now_ns: int) -> None:
        """Take a message.

        Raises:
            ShapeError: too few axes or buttons, or one that is no number.
        """
        if len(axes) < 8 or len(buttons) < 8:
            got = f"{len(axes)} and {len(buttons)}"
            raise ShapeError(mismatch("gamepad: axes and buttons", "at least 8 and 8", got, "use joy_node's layout"))
        if not all(map(math.isfinite, axes)):
            raise ShapeError("gamepad: an axis is no number; check the driver")
        self._press(tuple(axes), tuple(buttons))
        self._axes, self._buttons, self._heard_ns = tuple(axes), tuple(buttons), now_ns

    def wish(self, now_ns: int) -> Wish | None:
        """Return what is wanted now; None while the dead-man is released."""
        silent = self._heard_ns is None or now_ns - self._heard_ns > nanoseconds(SILENCE_S)
        if silent or not self._buttons[LB]:
            return None
        x, y, z, turn = (self._stick(axis) for axis in (LEFT_Y, LEFT_X, RIGHT_Y, RIGHT_X))
        grip, self._grip = self._grip, False
        if self._buttons[RB]:
            return Wish(self._arm, angular_rad_s=self._turned(-y, x, turn), grip=grip)
        v = self._speed_m_s
        return Wish(self._arm, (v * x, v * y, v * z), self._turned(0.0, 0.0, turn), grip)

    def deeds(self) -> list[Deed]:
        """Return what has been asked for since the last look."""
        deeds, self._deeds = self._deeds, []
        return deeds

    def _press(self, axes: tuple[float, ...], buttons: tuple[int, ...]) -> None:
        pressed = [i for i in range(8) if buttons[i] and not self._buttons[i]]
        self._deeds += [_BUTTONS[i] for i in pressed if i in _BUTTONS]
        self._deeds += [deed for (i, way), deed in _CROSS.items() if way * axes[i] > 0.5 and way * self._axes[i] <= 0.5]
        if Y in pressed:
            self._arm = (self._arm + 1) % self._arms
        if A in pressed and buttons[LB]:
            self._grip = not self._grip

    def _stick(self, axis: int) -> float:
        value = max(-1.0, min(1.0, self._axes[axis]))
        return math.copysign(max(0.0, abs(value) - DEAD_ZONE) / (1 - DEAD_ZONE), value)

    def _turned(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        return self._turn_rad_s * x, self._turn_rad_s * y, self._turn_rad_s * z
