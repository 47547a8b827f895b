# SPDX-License-Identifier: Apache-2.0
"""What a calibration is doing, what it hands out because it takes long, and how it is wished to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Doing(Enum):
    """What goes on."""

    WAITING = "waiting"
    MOVING = "moving"
    LOOKING = "looking"
    CHOOSING = "choosing"
    SOLVING = "solving"


@dataclass(frozen=True)
class Errand:
    """Something that takes long: ``work`` may be run by any thread, ``done`` gets what it returned."""

    work: Callable[[], Any]
    done: Callable[[Any], None]


@dataclass(frozen=True)
class Manner:
    """How captures are taken.

    Attributes:
        drive: go to the proposed poses; else somebody else moves the arms.
        auto: look whenever the arms have come to rest anew; else when asked.
        speed_share: of the robot's limits.
        rest_s: how long arms must have rested.
    """

    drive: bool = False
    auto: bool = True
    speed_share: float = 0.15
    rest_s: float = 0.4
