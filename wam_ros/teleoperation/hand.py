# SPDX-License-Identifier: Apache-2.0
"""A person's hand, whatever is in it: where it wants the arms now, or that it has let go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wam_ros.core.types import FloatArray, seconds
from wam_ros.teleoperation.jog import Jog
from wam_ros.teleoperation.leader import LeaderArm
from wam_ros.teleoperation.wish import Deed, Device


class Hand(Protocol):
    """Where a person wants the arms."""

    def wanted(self, now_ns: int, here: FloatArray | None) -> FloatArray | None:
        """Return (J,) in robot order; None when the hand has let go.

        Args:
            now_ns: control time, rising from call to call.
            here: (J,) where the robot is told to be, or is; None when nobody knows.
        """
        ...

    def deeds(self) -> list[Deed]:
        """Return what has been asked for since the last look."""
        ...

    def excuse(self, now_ns: int) -> str:
        """Return why nothing is wanted, in words."""
        ...


class LeaderHand:
    """A hand on a leader arm, and perhaps a foot on a pedal.

    Args:
        leader: the arm.
        pressed: whether the pedal is pressed; always true where there is none.
    """

    def __init__(self, leader: LeaderArm, pressed: Callable[[], bool]) -> None:
        self._leader, self._pressed = leader, pressed

    def wanted(self, now_ns: int, here: FloatArray | None) -> FloatArray | None:
        """Return where the leader is."""
        return self._leader.position(now_ns) if self._pressed() else None

    def deeds(self) -> list[Deed]:
        """A leader arm has no buttons."""
        return []

    def excuse(self, now_ns: int) -> str:
        """Name the silent joints, or the pedal."""
        silent = self._leader.silent(now_ns)
        return f"nothing has come from the leader's {', '.join(silent)}" if silent else "the pedal is released"


class JogHand:
    """A hand that jogs the tools, from where the robot is when the dead-man is pressed."""

    def __init__(self, device: Device, jog: Jog) -> None:
        self._device, self._jog = device, jog
        self._last_ns: int | None = None

    def wanted(self, now_ns: int, here: FloatArray | None) -> FloatArray | None:
        """Return where the tools have been moved to."""
        wish, last_ns = self._device.wish(now_ns), self._last_ns
        if wish is None or here is None:
            self._last_ns = None
            return None
        self._last_ns = now_ns
        if last_ns is None or now_ns <= last_ns:
            self._jog.begin(here)
            return self._jog.advance(wish, 0.0)
        return self._jog.advance(wish, seconds(now_ns - last_ns))

    def deeds(self) -> list[Deed]:
        """Return what has been asked for by buttons or keys."""
        return self._device.deeds()

    def excuse(self, now_ns: int) -> str:
        """Say that the dead-man is released."""
        return "the dead-man is released"
