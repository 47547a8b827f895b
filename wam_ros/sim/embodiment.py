# SPDX-License-Identifier: Apache-2.0
"""The robot as MuJoCo sees it: the same URDF as everywhere, with servos, a locked lift and cameras."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Arm, Robot
from wam_ros.kinematics.description import urdf_text

# The importer would merge links without joints, and with them the frames of cameras and tools.
IMPORT_OPTIONS = '<mujoco><compiler fusestatic="false" balanceinertia="true"/></mujoco>'
STIFFNESS_1_RAD = 30.0  # a servo gives its full torque at an error of 1/30 rad
SERVO_LAG_S = 0.045  # damping over stiffness: how far the joint trails a moving target
FINGER_STIFFNESS_N_M = 900.0
FINGER_DAMPING_NS_M = 40.0
FINGER_FORCE_N = 25.0
ARMATURE = 0.05  # inertia of the motors, seen through their gears

# Collision bits: a shape meets another when one's type is in the other's affinity.
FURNITURE, WORKPIECE = 1, 2
FIRST_ARM = 4


def robot_spec(robot: Robot) -> mujoco.MjSpec:
    """Return the robot standing on the floor at the world's origin, ready for a scene to be attached.

    Gravity of the robot is compensated, as its own controllers do it. A twin stands as its URDF says, whatever a
    calibration believes.

    Raises:
        ConfigError: URDF and robot YAML do not fit, or a gripper names no fingers that could move.
    """
    for arm in robot.arms:
        if not arm.gripper.fingers:
            raise ConfigError(f"arm {arm.name}: gripper.fingers is empty; name the URDF's finger joints to simulate it")
    text = urdf_text(replace(robot, frames={}))
    start = text.index(">", text.index("<robot")) + 1
    spec = mujoco.MjSpec.from_string(text[:start] + IMPORT_OPTIONS + text[start:])
    spec.compiler.discardvisual = False  # an importer's default that would also drop the scene's textures
    _lock(spec, robot)
    for body in spec.bodies:
        body.gravcomp = 1.0 if body.name != "world" else 0.0
    for index, arm in enumerate(robot.arms):
        _collide(spec, arm, FIRST_ARM << index, (FIRST_ARM << len(robot.arms)) - FIRST_ARM)
        _drive(spec, arm)
    _add_cameras(spec, robot)
    return spec


def _lock(spec: mujoco.MjSpec, robot: Robot) -> None:
    """Turn joints that no policy moves into fixed ones, at the angles of the robot YAML."""
    moving = {name for arm in robot.arms for name in (*arm.joints, *arm.gripper.fingers)}
    for joint in [j for j in spec.joints if j.name not in moving]:
        if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
            raise ConfigError(
                mismatch(f"{robot.urdf}: {joint.name}", "a revolute joint", "another type", "make it fixed in the URDF")
            )
        turn, quat = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.array(joint.axis), robot.fixed_joints_rad.get(joint.name, 0.0))
        mujoco.mju_mulQuat(quat, np.array(joint.parent.quat), turn)
        joint.parent.quat = quat
        spec.delete(joint)


def _collide(spec: mujoco.MjSpec, arm: Arm, own_bit: int, arm_bits: int) -> None:
    """Arms meet furniture and other arms, fingers also the workpiece; links of one arm pass each other."""
    for body in [spec.body(arm.base_frame), *spec.body(arm.base_frame).find_all("body")]:
        for geom in body.geoms:
            geom.contype, geom.conaffinity = own_bit, FURNITURE | (arm_bits & ~own_bit)
    for joint in arm.gripper.fingers:
        for geom in spec.joint(joint).parent.geoms:
            geom.conaffinity |= WORKPIECE
            geom.condim, geom.friction = 4, [1.5, 0.02, 0.002]


def _drive(spec: mujoco.MjSpec, arm: Arm) -> None:
    for name in arm.joints:
        joint = spec.joint(name)
        effort = float(joint.actfrcrange[1])
        joint.armature = ARMATURE
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=effort * STIFFNESS_1_RAD, kv=effort * STIFFNESS_1_RAD * SERVO_LAG_S)
        servo.forcerange = [-effort, effort]
    for name in arm.gripper.fingers:
        spec.joint(name).armature = ARMATURE
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=FINGER_STIFFNESS_N_M, kv=FINGER_DAMPING_NS_M)
        servo.forcerange = [-FINGER_FORCE_N, FINGER_FORCE_N]


def _add_cameras(spec: mujoco.MjSpec, robot: Robot) -> None:
    for camera in robot.cameras:
        body = spec.body(camera.frame)
        if body is None:
            raise ConfigError(
                mismatch(f"camera {camera.name}: frame", "a link of the URDF", camera.frame, "correct the robot YAML")
            )
        # Optical frames look along +z with y down, MuJoCo's cameras along -z with y up: half a turn about x.
        body.add_camera(name=camera.name, quat=[0, 1, 0, 0], fovy=np.degrees(camera.vertical_fov_rad))
