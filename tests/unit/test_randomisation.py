# SPDX-License-Identifier: Apache-2.0
"""What differs between attempts of the twin is drawn from their seeds, within bounds, and leaves no trace."""

from __future__ import annotations

from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest

from wam_ros.core.errors import ConfigError
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import load_robot, load_task
from wam_ros.sim.disturbance import QUIET, Disturbance
from wam_ros.sim.randomisation import NOMINAL, VARIED, VARIED_WIDER, Randomisation
from wam_ros.sim.world import World

TASK = load_task("towel_fold")
ROBOT = load_robot(TASK.default_robot)


@pytest.fixture(scope="module")
def world() -> World:
    return World(ROBOT, TASK, render=False)


def look(world: World) -> dict[str, FloatArray]:
    """Everything that may be drawn but the towel's pose."""
    model: mujoco.MjModel = world._model
    names = ("flex_rgba", "geom_rgba", "light_dir", "cam_pos", "cam_quat", "geom_friction", "flex_friction")
    return {name: np.array(getattr(model, name)) for name in names}


def drawn(world: World, how: Randomisation, seed: int) -> dict[str, FloatArray]:
    world.randomisation = how
    world.reset(seed)
    return look(world)


def same(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_a_seed_always_gives_the_same_look_and_another_seed_another(world: World) -> None:
    first, other = drawn(world, VARIED, 1), drawn(world, VARIED, 2)
    assert same(first, drawn(world, VARIED, 1))
    assert all(not np.array_equal(first[name], other[name]) for name in first)


def test_after_randomised_attempts_the_nominal_twin_is_as_it_was(world: World) -> None:
    before = drawn(world, NOMINAL, 3)
    for seed in range(3):
        drawn(world, VARIED_WIDER, seed)
    assert same(before, drawn(world, NOMINAL, 3))


def test_what_is_drawn_stays_within_the_declared_ranges(world: World) -> None:
    nominal = drawn(world, NOMINAL, 0)
    for seed in range(40):
        now = drawn(world, VARIED_WIDER, seed)
        moved = np.abs(now["cam_pos"] - nominal["cam_pos"])
        turned = 2 * np.arccos(np.clip(np.abs((now["cam_quat"] * nominal["cam_quat"]).sum(axis=1)), 0, 1))
        share = now["flex_friction"][:, 0] / nominal["flex_friction"][:, 0]
        assert moved.max() <= VARIED_WIDER.camera_m
        assert turned.max() <= VARIED_WIDER.camera_rad + 1e-6
        assert np.abs(share - 1).max() <= VARIED_WIDER.friction
        assert ((now["flex_rgba"] >= 0) & (now["flex_rgba"] <= 1)).all()
        scene = world._model.camera("scene").id
        assert np.array_equal(now["cam_pos"][scene], nominal["cam_pos"][scene]), "the people's camera stays"


def test_poses_do_not_depend_on_the_look_and_wider_ones_are_wider(world: World) -> None:
    drawn(world, NOMINAL, 5)
    plain = world.truth()[:3]
    drawn(world, VARIED, 5)
    assert np.array_equal(world.truth()[:3], plain)
    drawn(world, VARIED_WIDER, 5)
    middle = np.array([world._scene.options.towel_x_m, world._scene.options.towel_y_m, 0])
    assert world.truth()[:3] - middle == pytest.approx(1.2 * (plain - middle))


@pytest.mark.parametrize("name", [field.name for field in fields(Randomisation)])
def test_ranges_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        replace(VARIED, **{name: 1.5})


def test_a_nudge_moves_the_towel_once_as_far_as_declared_and_it_is_judged_from_there(world: World) -> None:
    world.randomisation, world.disturbance = NOMINAL, Disturbance(nudge_s=(0.05, 0.1), slips=0)
    world.reset(7)
    before = world.truth()
    for _ in range(40):
        world.step()
    world.disturbance = QUIET
    after = world.truth()
    corners = (after - before)[3:15].reshape(4, 3)
    assert 0.001 < np.linalg.norm(corners.mean(axis=0)[:2]) <= 0.0201
    assert after[:2] - before[:2] == pytest.approx(corners.mean(axis=0)[:2], abs=1e-3)
    assert world.judge().measures["shift_m"] < 0.08


def test_a_lost_grip_comes_back_only_after_the_hand_has_opened(world: World) -> None:
    world.randomisation, world.disturbance = NOMINAL, QUIET
    world.reset(0)
    grasps, points = world._grasps, np.array(world._scene.points())
    arm = ROBOT.arms[0]
    tool = world._model.body(arm.tool_frame).id
    at_hand = points - points[0] + world._data.xpos[tool]
    closed, opened = {a.name: 0.0 for a in ROBOT.arms}, {a.name: 1.0 for a in ROBOT.arms}
    grasps.update(at_hand, closed, closed)
    assert grasps.held[arm.name]
    grasps.lose(arm.name)
    grasps.update(at_hand, closed, closed)
    assert not grasps.held[arm.name], "it slipped"
    grasps.update(at_hand, opened, opened)
    grasps.update(at_hand, closed, closed)
    assert grasps.held[arm.name]
