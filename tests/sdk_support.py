# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a vendor's library of arms: its names, units and habits, with motors that go where they are told at once or never.

Each reading of an arm is one turn of its control loop, so time passes with the readings and with nothing else.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np

LOOP_S, OLD_S = 0.005, 0.004
OPEN_M = 0.088
USB = {"can1", "can3"}


class JointState:
    def __init__(self, joints: int) -> None:
        self._pos, self._vel = np.zeros(joints), np.zeros(joints)
        self.timestamp = self.gripper_pos = self.gripper_vel = 0.0

    def pos(self) -> np.ndarray:
        return self._pos

    def vel(self) -> np.ndarray:
        return self._vel


class Gain:
    def __init__(self, kp, kd, gripper_kp, gripper_kd) -> None:
        self.stiffness = np.append(kp, gripper_kp)


class Controller:
    """One arm.

    Attributes:
        opened: all of them, by port.
        position: (7,) joints and gripper in metres; the test may move a limp arm by hand.
        largest_step: of any joint in one turn.
        dead: whether the motors speak no more.
        told: how often it was told where to go.
    """

    opened: ClassVar[dict[str, Controller]] = {}

    def __init__(self, robot, control, port) -> None:
        if port not in USB:
            raise RuntimeError(f"Failed to open USB-CAN adapter with interface name {port}")
        self.robot, self.control = robot, control
        self.position = np.array([0.1, 0.9, 0.9, -0.5, 0.0, 0.0, 0.0])
        self.stiff, self.dead = False, False
        self.largest_step, self.told, self.damped = 0.0, 0, 0
        self._target, self._now_s, self._heard_s = self.position.copy(), 1.0, 1.0
        self.opened[port] = self

    def get_timestamp(self) -> float:
        return self._now_s

    def get_joint_state(self) -> JointState:
        self._now_s += LOOP_S
        if not self.dead:
            self._turn()
            self._heard_s = self._now_s - OLD_S
        state = JointState(6)
        state.pos()[:], state.gripper_pos, state.timestamp = self.position[:6], float(self.position[6]), self._heard_s
        return state

    def set_joint_cmd(self, wanted: JointState) -> None:
        self.told += 1
        self._target = np.append(wanted.pos(), wanted.gripper_pos)

    def set_to_damping(self) -> None:
        self.stiff, self.damped = False, self.damped + 1
        self._target = self.position.copy()

    def set_gain(self, gain: Gain) -> None:
        if np.abs(self._target - self.position)[:6].max() > 0.2:
            raise RuntimeError("Cannot set kp to non-zero when the joint pos cmd is far from current pos.")
        self.stiff = bool(gain.stiffness.all())

    def _turn(self) -> None:
        if not self.stiff:
            return
        reach = LOOP_S * np.append(self.robot.joint_vel_max, self.robot.gripper_vel_max)
        step = np.clip(self._target - self.position, -reach, reach)
        self.largest_step = max(self.largest_step, float(np.abs(step)[:6].max()))
        self.position += step


class RobotConfigs:
    @classmethod
    def get_instance(cls) -> RobotConfigs:
        return cls()

    def get_config(self, model: str) -> SimpleNamespace:
        if model != "X5":
            raise RuntimeError("Unknown robot model. Currently available: X5")
        return SimpleNamespace(
            joint_dof=6,
            joint_pos_min=np.array([-3.14, -0.05, -0.1, -1.6, -1.57, -2.0]),
            joint_pos_max=np.array([2.618, 3.5, 3.2, 1.55, 1.57, 2.0]),
            joint_vel_max=np.array([5.0, 5.0, 5.5, 5.5, 5.0, 5.0]),
            gripper_vel_max=0.3,
            gripper_width=OPEN_M,
            gripper_open_readout=5.03,
        )


class ControllerConfigs:
    @classmethod
    def get_instance(cls) -> ControllerConfigs:
        return cls()

    def get_config(self, kind: str, joints: int) -> SimpleNamespace:
        gains = {"default_kp": np.full(joints, 80.0), "default_kd": np.ones(joints)}
        return SimpleNamespace(**gains, default_gripper_kp=5.0, default_gripper_kd=0.2, default_preview_time=0.0)


def library(name: str, controller: str) -> ModuleType:
    """The module of that name, with that class for an arm."""
    Controller.opened = {}
    module = ModuleType(name)
    vars(module).update(
        {
            "JointState": JointState,
            "Gain": Gain,
            "RobotConfigFactory": RobotConfigs,
            "ControllerConfigFactory": ControllerConfigs,
            controller: Controller,
        }
    )
    return module
