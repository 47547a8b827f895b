# SPDX-License-Identifier: Apache-2.0
"""The robot's own xacro against published forward kinematics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pinocchio as pin
import pytest
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import ConfigError
from wam_ros.core.transforms import exp, invert
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.arguments import urdf_arguments
from wam_ros.kinematics.description import full_model, set_joints, urdf_text
from wam_ros.kinematics.forward import Kinematics

# Angles, link 6 [m], gripper [m], roll-pitch-yaw of link 6 [rad], all in the arm's base link.
ARM_ORACLES = [
    ((0, 0, 0, 0, 0, 0), (-0.0228, 0, 0.2108), (0.0589, 0, 0.2108), (0, 0, 0)),
    ((0, 1.57, -0.96, 0, 0, 0), (0.2702, 0, 0.3384), (0.3371, 0, 0.2916), (0, 0.61, 0)),
    (
        (0.3, 1.2, -1.0, 0.4, 0.2, 0.5),
        (0.1532, 0.0521, 0.3966),
        (0.2115, 0.0871, 0.3514),
        (0.6351, 0.5864, 0.5408),
    ),
]
# Lift angles, torso_link3 [m], heights of the arm bases and of the head's left eye [m], all in base_link.
LIFT_ORACLES = [
    ((0, 0, 0), (0.0919, -0.0015, 0.8486), 0.9717, 1.4808),
    ((-0.77, 1.57, 0.80), (0.0993, -0.0015, 0.6437), 0.7668, 1.2758),
]
# The other robot's arms: angles, link 6 [m], tool [m], roll-pitch-yaw of link 6 [rad], in the arm's base link.
SECOND = load_robot("sim_ac_one")
SECOND_ORACLES = [
    ((0, 0, 0, 0, 0, 0), (0.0952, 0.0010, 0.1565), (0.2402, 0.0010, 0.1565), (0, 0, 0)),
    ((0, 0.948, 0.858, -0.573, 0, 0), (0.1893, 0.0010, 0.2907), (0.3036, 0.0010, 0.2015), (0, 0.663, 0)),
    ((0.3, 1.0, 0.8, -0.4, 0.2, 0.5), (0.1981, 0.0564, 0.2760), None, (0.3649, 0.5864, 0.0592)),
]


@pytest.fixture(params=["r1_lite", "ac_one", "sim_r1_lite", "sim_ac_one"])
def either(request):
    return load_robot(request.param)


def frames(robot, **angles):
    model = full_model(robot)
    data, q = model.createData(), pin.neutral(model)
    set_joints(model, q, angles)
    pin.framesForwardKinematics(model, data, q)
    return lambda name: data.oMf[model.getFrameId(name)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("angles", "link6", "gripper", "rpy"), ARM_ORACLES)
def test_both_arms_reach_where_the_real_ones_do(robot, side, angles, link6, gripper, rpy):
    frame = frames(robot, **{f"{side}_arm_joint{i + 1}": a for i, a in enumerate(angles)})
    base = frame(f"{side}_arm_base_link")
    wrist, hand = (base.actInv(frame(f"{side}_{name}")) for name in ("arm_link6", "gripper_link"))
    assert wrist.translation == pytest.approx(link6, abs=1e-4)
    assert hand.translation == pytest.approx(gripper, abs=1e-4)
    assert Rotation.from_matrix(wrist.rotation).as_euler("xyz") == pytest.approx(rpy, abs=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("angles", "link6", "tool", "rpy"), SECOND_ORACLES)
def test_arms_whose_joints_begin_half_a_turn_about_x_reach_where_the_real_ones_do(side, angles, link6, tool, rpy):
    frame = frames(SECOND, **{f"{side}_joint{i + 1}": a for i, a in enumerate(angles)})
    base = frame(f"{side}_base_link")
    wrist, tip = (base.actInv(frame(f"{side}_{name}")) for name in ("link6", "tool_link"))
    assert wrist.translation == pytest.approx(link6, abs=1e-4)
    assert Rotation.from_matrix(wrist.rotation).as_euler("xyz") == pytest.approx(rpy, abs=1e-4)
    if tool is not None:
        assert tip.translation == pytest.approx(tool, abs=1e-4)


def test_the_second_robots_cameras_look_where_its_published_mounts_do():
    frame = frames(SECOND)
    bench = frame("bench_link")
    assert bench.actInv(frame("head_optical_frame")).translation == pytest.approx((0.01, 0, 0.49), abs=1e-9)
    for parent, camera, pitch_deg in (("bench_link", "head", 58), ("left_link6", "left_wrist", 30)):
        looking = frame(parent).actInv(frame(f"{camera}_optical_frame")).rotation[:, 2]
        assert np.degrees(np.arcsin(-looking[2])) == pytest.approx(pitch_deg, abs=0.2)
        assert looking[0] > 0.5


@pytest.mark.parametrize(("angles", "torso", "arm_height", "eye_height"), LIFT_ORACLES)
def test_the_lift_carries_arms_and_head(robot, angles, torso, arm_height, eye_height):
    published = dataclasses.replace(robot, urdf_args={})
    frame = frames(published, **{f"torso_joint{i + 1}": a for i, a in enumerate(angles)})
    assert frame("torso_link3").translation == pytest.approx(torso, abs=1e-4)
    for side, y in (("left", 0.3335), ("right", -0.3365)):
        assert frame(f"{side}_arm_base_link").translation[1:] == pytest.approx((y, arm_height), abs=1e-4)
    assert frame("head_optical_frame").translation[2] == pytest.approx(eye_height, abs=1e-4)


def test_cameras_look_where_the_published_mounts_do(robot):
    frame = frames(dataclasses.replace(robot, urdf_args={}))
    head = frame("torso_link3").actInv(frame("head_optical_frame")).rotation
    wrist = frame("left_gripper_link").actInv(frame("left_wrist_optical_frame")).rotation
    for optical, pitch_deg in ((head, 30.0), (wrist, 39.95)):
        looking, right = optical[:, 2], optical[:, 0]
        assert np.degrees(np.arcsin(-looking[2])) == pytest.approx(pitch_deg, abs=0.1)
        assert looking[0] > 0.7
        assert right == pytest.approx([0, -1, 0], abs=1e-3)


def test_joint_ranges_contain_the_target_limits(either):
    model = full_model(either)
    for arm in either.arms:
        for joint, lower, upper in zip(arm.joints, arm.limits.lower_rad, arm.limits.upper_rad, strict=True):
            slot = model.joints[model.getJointId(joint)].idx_q
            assert model.lowerPositionLimit[slot] < lower < upper < model.upperPositionLimit[slot]


def test_jaws_meet_when_closed_and_open_ten_centimetres(robot):
    model = full_model(robot)
    shapes = pin.buildGeomFromUrdfString(model, urdf_text(robot), pin.GeometryType.COLLISION)
    pads = [shapes.getGeometryId(f"left_gripper_finger_link{i}_0") for i in (1, 2)]
    shapes.addCollisionPair(pin.CollisionPair(*pads))
    data, results, q = model.createData(), shapes.createData(), pin.neutral(model)

    def gap_m() -> float:
        pin.computeDistances(model, data, shapes, results, q)
        return results.distanceResults[0].min_distance

    closed = gap_m()
    set_joints(model, q, robot.arms[0].gripper.fingers)
    assert 0 < closed < 0.02
    assert gap_m() - closed == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(("name", "bases"), [("r1_lite", "{}_arm_base_link"), ("ac_one", "{}_base_link")])
def test_the_real_robots_stand_as_their_twins_do_but_for_what_the_twin_turns(name, bases):
    real, twin = load_robot(name), load_robot(f"sim_{name}")
    assert (real.urdf, real.fixed_joints_rad, real.base_frame) == (twin.urdf, twin.fixed_joints_rad, twin.base_frame)
    spaced = dataclasses.replace(real, urdf_args={"arm_spacing": "0.41"})
    frame = frames(spaced, **real.fixed_joints_rad)
    left, right = (frame(spaced.base_frame).actInv(frame(bases.format(s))).translation for s in ("left", "right"))
    assert (left - right)[1] == pytest.approx(0.41)
    for camera in real.cameras:
        assert frame(camera.frame).translation[2] > 0.5, camera.name


def test_mounts_and_spacing_are_arguments(robot):
    moved = dataclasses.replace(robot, urdf_args={"arm_spacing": "0.5", "head_camera_pitch": "0.2"})
    frame = frames(moved)
    assert np.ptp([frame(f"{s}_arm_base_link").translation[1] for s in ("left", "right")]) == pytest.approx(0.5)
    assert frame("head_optical_frame").rotation[2, 2] == pytest.approx(-np.sin(0.2))


@pytest.mark.parametrize("name", ["sim_r1_lite", "ac_one"])
def test_a_urdf_of_a_calibrations_arguments_has_every_frame_where_it_was_found(name):
    robot, rng = load_robot(name), np.random.default_rng(0)
    first, tools = robot.arms[0].base_frame, {arm.name: arm.tool_frame for arm in robot.arms}
    pairs = [(tools.get(camera.arm, first), camera.frame) for camera in robot.cameras]
    pairs += [(first, arm.base_frame) for arm in robot.arms[1:]]
    placed = {pair: exp(rng.uniform(-1, 1, 6)) for pair in pairs}
    kinematics = Kinematics(dataclasses.replace(robot, urdf_args={**robot.urdf_args, **urdf_arguments(robot, placed)}))
    for (parent, child), T in placed.items():
        poses = (kinematics.pose(robot.ready_position(), frame) for frame in (parent, child))
        assert np.abs(invert(next(poses)) @ next(poses) - T).max() < 1e-6, child


def test_frames_without_arguments_or_between_which_something_moves_are_refused(robot):
    wrist, (left, right) = robot.camera("left_wrist").frame, robot.arms
    with pytest.raises(ConfigError, match="a link fixed to left_gripper_link, got right_tool_link"):
        urdf_arguments(robot, {(right.tool_frame, wrist): np.eye(4)})
    with pytest.raises(ConfigError, match="left_tool_link_xyz"):
        urdf_arguments(robot, {(left.base_frame, left.tool_frame): np.eye(4)})


def test_every_link_that_moves_has_mass(either):
    model = full_model(either)
    assert all(inertia.mass > 0 for inertia in model.inertias.tolist()[1:])


def test_an_unknown_joint_or_file_is_named(robot):
    with pytest.raises(ConfigError, match="no_such_joint"):
        full_model(dataclasses.replace(robot, fixed_joints_rad={"no_such_joint": 0.0}))
    with pytest.raises(ConfigError, match="no_such_file"):
        full_model(dataclasses.replace(robot, urdf="no_such_file.xacro"))
