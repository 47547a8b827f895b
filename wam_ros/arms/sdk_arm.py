# SPDX-License-Identifier: Apache-2.0
"""One arm through its vendor's library, which runs the motors in a thread of its own.

An arm is limp (damped, its weight carried) until it is first told to go where it stands; then it is stiff, follows, and holds
what it was told last. What the library is told of the arm are the robot's own limits: it clips positions and speeds to them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from wam_ros.core.errors import ConfigError, MissingDependencyError, RunError, mismatch
from wam_ros.core.robot import Arm
from wam_ros.core.sdk import Sdk
from wam_ros.core.types import FloatArray

#: How far from where it stands a limp arm may first be told to go [rad].
NEAR_RAD = 0.1
#: A library that has not heard its motors for so long is told nothing [s]; it hears them every 2 ms.
STALE_S = 0.05


class Reading(NamedTuple):
    """What the motors said last.

    Attributes:
        heard_s: when, on the library's clock.
        age_s: how long ago.
        positions, velocities: (n,) joints [rad], then the gripper's opening [m].
    """

    heard_s: float
    age_s: float
    positions: FloatArray
    velocities: FloatArray


def load_library(sdk: Sdk) -> Any:
    """Import the vendor's module.

    Raises:
        MissingDependencyError: it is not installed, or does not load.
    """
    try:
        return import_module(sdk.module)
    except ImportError as error:
        cure = f"run: {sys.executable} -m pip install {sdk.package}"
        raise MissingDependencyError(mismatch("arms", f"the Python module {sdk.module}", error, cure)) from error


class VendorArm:
    """An arm that is read and told where to go.

    Args:
        library: the vendor's module.
        sdk: how it is used.
        arm: whose limits, gripper (metres of opening) and name count.
        period_s: from one target to the next; motion between them is interpolated.

    Attributes:
        stiff: whether it follows.

    Raises:
        ConfigError: the description does not fit the library.
        RunError: no arm answers on the port.
    """

    def __init__(self, library: Any, sdk: Sdk, arm: Arm, period_s: float) -> None:
        self._library, self._joints = library, len(arm.joints)
        wiring = sdk.arms[arm.name]
        try:
            robot = library.RobotConfigFactory.get_instance().get_config(sdk.model)
            control = library.ControllerConfigFactory.get_instance().get_config("joint_controller", self._joints)
        except RuntimeError as error:
            raise ConfigError(f"sdk of the robot file: {error}; correct model") from error
        if robot.joint_dof != self._joints:
            raise ConfigError(mismatch(f"joints of {sdk.model}", self._joints, robot.joint_dof, "correct sdk.model"))
        _limit(robot, arm)
        robot.gripper_open_readout = wiring.open_readout
        control.default_preview_time = period_s
        self._gain = library.Gain(
            control.default_kp, control.default_kd, control.default_gripper_kp, control.default_gripper_kd
        )
        self.stiff = False
        try:
            self._controller = getattr(library, sdk.controller)(robot, control, wiring.port)
        except RuntimeError as error:
            cure = f"sudo slcand -o -f -s8 /dev/ADAPTER {wiring.port} && sudo ip link set {wiring.port} up"
            cure += ", switch the arm on, and end what else uses this port"
            raise RunError(mismatch(f"arm {arm.name}", f"motors on {wiring.port}", error, cure)) from error

    def read(self) -> Reading:
        """Return what the motors said last."""
        state = self._controller.get_joint_state()
        age_s = self._controller.get_timestamp() - state.timestamp
        positions, velocities = np.append(state.pos(), state.gripper_pos), np.append(state.vel(), state.gripper_vel)
        return Reading(state.timestamp, age_s, positions, velocities)

    def follow(self, target: FloatArray) -> str:
        """Go to (n,) joints [rad] and gripper opening [m]; return why not, empty if so."""
        now = self.read()
        if now.age_s > STALE_S:
            return f"its motors have been silent for {now.age_s:.2f} s"
        if not self.stiff:
            far = float(np.abs(target - now.positions)[: self._joints].max())
            if far > NEAR_RAD:
                return f"the first target lies {far:.2f} rad from where it stands, at most {NEAR_RAD}"
            self._stiffen()
        wanted = self._library.JointState(self._joints)
        wanted.pos()[:] = target[: self._joints]
        wanted.gripper_pos = float(target[-1])
        self._controller.set_joint_cmd(wanted)
        return ""

    def relax(self) -> None:
        """Be limp: damped, so that it sinks slowly where its weight is not carried."""
        if self.stiff:
            self._controller.set_to_damping()
            self.stiff = False

    def _stiffen(self) -> None:
        # Damping also makes where it stands its target; without, it would go back to where it was opened.
        self._controller.set_to_damping()
        self._controller.set_gain(self._gain)
        self.stiff = True


def _limit(robot: Any, arm: Arm) -> None:
    """Narrow the library's limits to the robot's; an arm at rest may lie outside by the margin of feedback."""
    limits, margin = arm.limits, arm.limits.feedback_margin_rad
    robot.joint_pos_min = np.maximum(robot.joint_pos_min, np.subtract(limits.lower_rad, margin))
    robot.joint_pos_max = np.minimum(robot.joint_pos_max, np.add(limits.upper_rad, margin))
    robot.joint_vel_max = np.minimum(robot.joint_vel_max, limits.velocity_rad_s)
    robot.gripper_width = arm.gripper.open_native
    robot.gripper_vel_max = min(robot.gripper_vel_max, arm.gripper.speed_1_s * arm.gripper.open_native)
