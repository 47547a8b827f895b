# SPDX-License-Identifier: Apache-2.0
"""What a robot YAML says of a vendor's library that moves its arms, where no driver of the vendor's does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SdkArm:
    """One arm on its bus.

    Attributes:
        port: network interface of its CAN bus.
        open_readout: angle of the gripper's motor when open [rad].
    """

    port: str
    open_readout: float


@dataclass(frozen=True)
class Sdk:
    """A Python module with a controller for one arm (docs/add_a_robot.md).

    Attributes:
        module: imported by this name at run time.
        package: what pip installs it from.
        controller: its class for one arm.
        model: what it calls the arm.
        arms: by the robot's names of them.
    """

    module: str
    package: str
    controller: str
    model: str
    arms: dict[str, SdkArm]
