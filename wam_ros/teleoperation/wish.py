# SPDX-License-Identifier: Apache-2.0
"""What a person at a gamepad or a keyboard wants: a tool's speed, an opening, and things to be done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Deed(Enum):
    """What a person asks for besides motion: a service and what it is asked for, or a mark."""

    HAND_BACK = ("takeover", False)
    STOP = ("safety_stop", None)
    RECORD = ("record/start", None)
    RECORD_END = ("record/stop", None)
    DISCARD = ("record/discard", None)
    START = ("operator/mark", "start")
    SUCCESS = ("operator/mark", "success")
    FAILURE = ("operator/mark", "failure")


@dataclass(frozen=True)
class Wish:
    """A tool's motion in the robot's base frame.

    Attributes:
        arm: its index.
        linear_m_s: x ahead, y left, z up.
        angular_rad_s: about these axes.
        grip: open its gripper if it is closed, else close it.
    """

    arm: int
    linear_m_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angular_rad_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grip: bool = False


class Device(Protocol):
    """Something with which a person jogs the tools."""

    def wish(self, now_ns: int) -> Wish | None:
        """Return what is wanted now; None while the dead-man is released."""
        ...

    def deeds(self) -> list[Deed]:
        """Return what has been asked for since the last look."""
        ...
