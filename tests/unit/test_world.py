# SPDX-License-Identifier: Apache-2.0
"""The simulated robot without ROS: servos, pictures, truth, determinism."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from wam_ros.core.errors import ConfigError, ShapeError, UnsafeCommandError
from wam_ros.core.truth import CORNERS, TowelTruth
from wam_ros.files.assets import load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver
from wam_ros.sim.graphics import choose_backend
from wam_ros.sim.world import World

ROBOT, TASK = load_robot("sim_r1_lite"), load_task("towel_fold")
VIEWS = [camera.name for camera in ROBOT.cameras]


@pytest.fixture(scope="module")
def world():
    world = World(ROBOT, TASK)
    yield world
    world.close()


def towel(world: World) -> TowelTruth:
    return TowelTruth.unpack(world.truth(), len(ROBOT.arms))


def project(world: World, camera: str, point: np.ndarray) -> tuple[float, float, float]:
    """Pixel column, row and distance of a point of the base frame, by the URDF alone."""
    frame = ROBOT.camera(camera).frame
    T_base_camera = Kinematics(ROBOT).pose(world.joints(), frame)
    u, v, depth = world.intrinsics(camera) @ T_base_camera[:3, :3].T @ (point - T_base_camera[:3, 3])
    return u / depth, v / depth, depth


def test_an_attempt_starts_ready_with_a_flat_towel_in_its_range(world):
    options = TASK.scene_options
    for seed in range(20):
        world.reset(seed)
        truth = towel(world)
        assert world.joints() == pytest.approx(ROBOT.ready_position(), abs=1e-6)
        assert abs(truth.placed[0] - options["towel_x_m"]) <= 0.04
        assert abs(truth.placed[1]) <= 0.05
        assert abs(truth.placed[2]) <= 0.35
        assert truth.corners_m.mean(axis=0)[:2] == pytest.approx(truth.placed[:2], abs=1e-6)
        assert np.ptp(truth.corners_m[:, 2]) < 1e-6
        edge = truth.corners_m[CORNERS.index("near_left")] - truth.corners_m[CORNERS.index("near_right")]
        assert np.linalg.norm(edge) == pytest.approx(0.30, abs=1e-6)
        assert np.arctan2(-edge[0], edge[1]) == pytest.approx(truth.placed[2], abs=1e-6)


@pytest.mark.parametrize("camera", VIEWS)
def test_the_towel_is_seen_where_the_urdf_says(world, camera):
    world.reset(3)
    color, depth_m = world.render(camera)
    height, width = ROBOT.camera(camera).height, ROBOT.camera(camera).width
    assert color.shape == (height, width, 3)
    assert color.dtype == np.uint8
    assert depth_m.dtype == np.float32
    seen = 0
    corners = towel(world).corners_m
    for share in np.linspace(0.1, 0.9, 5):
        for other in np.linspace(0.1, 0.9, 5):
            point = corners[1] + share * (corners[3] - corners[1]) + other * (corners[0] - corners[1])
            u, v, distance = project(world, camera, point)
            if 1 <= u < width - 1 and 1 <= v < height - 1:
                column, row = round(u), round(v)
                blue = color[row, column, 2] > 1.5 * color[row, column, 0]
                seen += blue
                # The cloth's surface lies a radius of 3 mm above its vertices.
                assert not blue or depth_m[row, column] == pytest.approx(distance, abs=0.006)
    assert seen >= 6


def test_the_same_seed_gives_bit_equal_observations(world):
    def episode():
        world.reset(7)
        seen = []
        for step in range(40):
            world.set_targets(ROBOT.ready_position() - 0.002 * step * np.array([*([1.0] * 6), 0] * 2))
            world.step()
        for camera in VIEWS:
            seen += world.render(camera)
        return [*seen, world.joints(), world.truth()]

    assert all(np.array_equal(a, b) for a, b in zip(episode(), episode(), strict=True))


def test_coarse_pictures_show_the_same(world):
    coarse = World(ROBOT, TASK, coarse=True)
    try:
        for each in (world, coarse):
            each.reset(1)
        pairs = [(world.picture(camera), coarse.picture(camera)) for camera in VIEWS]
    finally:
        coarse.close()
    means = [np.abs(np.subtract(a, b, dtype=int)).mean() for a, b in pairs]
    assert 0 < max(means) < 3, "of 255"


def test_servos_reach_their_targets_and_stay_within_bounds(world):
    world.reset(0)
    lower, upper = ROBOT.bounds()
    target = ROBOT.ready_position() + np.array([0.1, 0.2, -0.1, 0.1, 0.1, 0.2, -0.5] * 2)
    for _ in range(200):
        world.set_targets(target)
        world.step()
    assert world.joints() == pytest.approx(np.clip(target, lower, upper), abs=2e-3)
    for _ in range(400):
        world.set_targets(np.where(np.arange(14) == 0, -99.0, world.joints()))
        world.step()
    assert world.joints()[0] == pytest.approx(lower[0], abs=5e-3)


def test_a_hand_is_stopped_by_the_table(world):
    world.reset(0)
    kinematics, arm = Kinematics(ROBOT), ROBOT.arms[0]
    below = kinematics.tool_pose(ROBOT.ready_position(), arm)
    below[2, 3] = TASK.scene_options["table_top_z_m"] - 0.10
    down = np.array(ROBOT.ready_position())
    down[:6] = ToolSolver(kinematics, arm).solve(below, down[:6]).angles_rad
    assert kinematics.tool_pose(down, arm)[2, 3] < TASK.scene_options["table_top_z_m"] - 0.05
    for _ in range(300):
        world.set_targets(down)
        world.step()
    assert kinematics.tool_pose(world.joints(), arm)[2, 3] > TASK.scene_options["table_top_z_m"] - 0.015


def test_targets_that_cannot_be_meant_are_refused(world):
    with pytest.raises(ShapeError):
        world.set_targets(np.zeros(13))
    with pytest.raises(UnsafeCommandError):
        world.set_targets(np.full(14, np.nan))


def test_truth_has_one_label_for_each_value(world):
    assert len(world.truth_names) == len(world.truth()) == len(set(world.truth_names))
    with pytest.raises(ShapeError):
        TowelTruth.unpack(world.truth()[:-1], len(ROBOT.arms))


def test_scene_options_are_checked():
    for options, named in (
        ({**TASK.scene_options, "towel_colour": "red"}, "towel_colour"),
        ({"towel_x_m": 0.3}, "table_near_x_m"),
    ):
        with pytest.raises(ConfigError, match=named):
            World(ROBOT, dataclasses.replace(TASK, scene_options=options), render=False)
    with pytest.raises(ConfigError, match="kitchen"):
        World(ROBOT, dataclasses.replace(TASK, scene="kitchen"), render=False)


def test_without_an_opengl_library_physics_runs_and_cameras_say_what_to_install():
    code = (
        "from wam_ros.files.assets import load_robot, load_task\n"
        "from wam_ros.sim.world import World\n"
        "from wam_ros.core.errors import MissingDependencyError\n"
        "robot, task = load_robot('sim_r1_lite'), load_task('towel_fold')\n"
        "World(robot, task, render=False).step()\n"
        "try:\n    World(robot, task)\n"
        "except MissingDependencyError as error:\n    assert 'apt-get install libegl1' in str(error)\n"
        "else:\n    raise SystemExit('drew without a library')\n"
    )
    environment = {**os.environ, "MUJOCO_GL": "disabled"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [({"libOSMesa.so.8"}, "osmesa"), ({"libEGL.so.1"}, "disabled"), (set(), "disabled")],
)
def test_the_renderer_is_chosen_from_the_libraries_that_are_there(monkeypatch, libraries, expected):
    monkeypatch.setenv("MUJOCO_GL", "")
    load = ctypes.CDLL

    def only(name, *args, **kwargs):
        if name not in libraries:
            raise OSError(name)
        return load(name, *args, **kwargs) if name == "libEGL.so.1" else object()

    monkeypatch.setattr(ctypes, "CDLL", only)
    assert choose_backend() == expected


def test_the_users_choice_of_renderer_wins(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert choose_backend() == "osmesa"


def test_a_gripper_without_fingers_cannot_be_simulated():
    arm = ROBOT.arms[0]
    bare = dataclasses.replace(arm, gripper=dataclasses.replace(arm.gripper, fingers={}))
    with pytest.raises(ConfigError, match="fingers"):
        World(dataclasses.replace(ROBOT, arms=(bare, ROBOT.arms[1])), TASK, render=False)
