# SPDX-License-Identifier: Apache-2.0
"""The judge of the fold, on cloth that is only numbers; and the grasp, on cloth that is simulated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.core.truth import TowelTruth
from wam_ros.files.assets import load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver
from wam_ros.sim.tasks.fold import (
    covered_area_m2,
    fold_measures,
    is_aligned,
    is_aligned_twice,
    is_flat,
    is_flat_twice,
    twice_measures,
)
from wam_ros.sim.tasks.folding import Twice
from wam_ros.sim.world import World

ROBOT, TASK = load_robot("sim_r1_lite"), load_task("towel_fold")
N, SIZE = 11, 0.30
_corner = np.arange(N * N).reshape(N, N)
_a, _b, _c, _d = (_corner[i : N - 1 + i, j : N - 1 + j].ravel() for i in (0, 1) for j in (0, 1))
TRIANGLES = np.concatenate([np.stack([_a, _b, _c], 1), np.stack([_b, _c, _d], 1)]).astype(np.int32)
poses = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.35, 0.35)).map(np.array)


def flat() -> np.ndarray:
    along = np.linspace(-SIZE / 2, SIZE / 2, N)
    x, y = np.meshgrid(along, along, indexing="ij")
    return np.stack([x, y, np.full_like(x, 0.004)], axis=-1)


def folded() -> np.ndarray:
    grid = flat()
    grid[..., 2] += 0.008 * (grid[..., 0] < 0)
    grid[..., 0] = np.abs(grid[..., 0])
    return grid


def moved(grid: np.ndarray, pose: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    out = grid.copy()
    out[..., :2] = grid[..., :2] @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]
    return out


def measures(grid: np.ndarray, pose: np.ndarray) -> dict[str, float]:
    return fold_measures(grid, pose, SIZE, TRIANGLES)


@given(poses)
@settings(max_examples=40, deadline=None)
def test_a_good_fold_is_good_wherever_it_lies(pose):
    found = measures(moved(folded(), pose), pose)
    assert is_aligned(found)
    assert is_flat(found)
    assert found["shift_m"] == pytest.approx(0, abs=1e-9)
    assert found["area_share"] == pytest.approx(0.5, abs=0.06)


@given(poses)
@settings(max_examples=20, deadline=None)
def test_a_flat_towel_is_no_fold(pose):
    found = measures(moved(flat(), pose), pose)
    assert not is_aligned(found)
    assert not is_flat(found)


@given(poses, st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_heap_of_half_the_area_is_no_fold(pose, seed):
    heap = flat() * 0.7 + np.random.default_rng(seed).normal(0, 0.03, (N, N, 3))
    found = measures(moved(heap, pose), pose)
    assert not (is_aligned(found) and is_flat(found))


def folded_twice() -> np.ndarray:
    grid = folded()
    crease = grid[..., 0] < SIZE / 4
    grid[..., 2] += 0.016 * crease
    grid[..., 0] = np.where(crease, SIZE / 2 - grid[..., 0], grid[..., 0])
    return grid


def twice(grid: np.ndarray, pose: np.ndarray) -> dict[str, float]:
    return twice_measures(grid, pose, SIZE, TRIANGLES)


@given(poses)
@settings(max_examples=20, deadline=None)
def test_two_good_folds_are_good_wherever_they_lie_and_one_is_not_two(pose):
    found, once = twice(moved(folded_twice(), pose), pose), twice(moved(folded(), pose), pose)
    assert is_aligned_twice(found)
    assert is_flat_twice(found)
    assert found["area_share"] == pytest.approx(0.27, abs=0.06)
    assert not is_aligned_twice(once)
    assert not is_flat_twice(once)


def test_each_fault_alone_spoils_two_folds():
    dragged, high = folded_twice(), folded_twice()
    dragged[..., 1] += 0.035
    high[3, 3, 2] = 0.05
    assert not is_aligned_twice(twice(dragged, np.zeros(3)))
    assert not is_flat_twice(twice(high, np.zeros(3)))


def test_the_second_grasp_counts_at_the_crease_of_a_folded_towel_only():
    crease, edge = N // 2 * N, 2 * N
    for grid, points, counts in ((folded(), crease, True), (folded(), edge, False), (flat(), crease, False)):
        folding = Twice(SIZE)
        folding.watch(grid, {"left": [points], "right": [points + N - 1]})
        stages, _ = folding.judge(grid, np.zeros(3), {"left": [], "right": []}, TRIANGLES)
        assert stages["grasped"] == counts
        assert not stages["released"]
    folding = Twice(SIZE)
    folding.watch(folded(), {"left": [crease], "right": [crease + N - 1]})
    held = {"left": [crease], "right": []}
    assert list(folding.judge(folded_twice(), np.zeros(3), held, TRIANGLES)[0].values()) == [True, True, True, False]
    free = {"left": [], "right": []}
    assert all(folding.judge(folded_twice(), np.zeros(3), free, TRIANGLES)[0].values())
    folding.reset()
    assert not folding.judge(folded_twice(), np.zeros(3), free, TRIANGLES)[0]["grasped"]


def test_each_fault_alone_spoils_a_fold():
    home = np.zeros(3)
    assert is_aligned(measures(folded(), home))
    dragged, high, short = folded(), folded(), folded()
    dragged[..., 1] += 0.05
    high[3, 3, 2] = 0.05
    short[:5, :, 0] -= 0.045
    assert not is_flat(measures(dragged, home))
    assert not is_flat(measures(high, home))
    assert not is_aligned(measures(short, home))


@given(st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.floats(0, 3.1))
@settings(max_examples=40, deadline=None)
def test_area_is_that_of_the_union(width, depth, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    box = np.array([[0, 0], [width, 0], [0, depth], [width, depth]]) @ np.array([[cos, sin], [-sin, cos]])
    triangles = np.array([[0, 1, 2], [1, 2, 3], [1, 2, 3]], np.int32)
    # Cells on the border count whole: half a cell too much on each side.
    too_much = 2 * (width + depth) * 0.005
    area = covered_area_m2(box, triangles)
    assert 0.8 * width * depth <= area <= width * depth + too_much


@pytest.fixture(scope="module")
def world():
    world = World(ROBOT, TASK, render=False)
    yield world
    world.close()


def jaws_at(world: World, height_m: float, seconds: tuple[float, float, float]) -> dict[str, list[int]]:
    """Bring both hands to the near corners at a height, close, open again; return what was held while closed."""
    world.reset(2)
    corners = TowelTruth.unpack(world.truth(), 2).corners_m
    kinematics, pose = Kinematics(ROBOT), np.array(ROBOT.ready_position())
    for arm, corner in enumerate(corners[:2]):
        target = np.eye(4)
        target[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
        target[:3, 3] = corner + [0.004, -0.004 if arm == 0 else 0.004, height_m]
        columns = slice(7 * arm, 7 * arm + 6)
        pose[columns] = ToolSolver(kinematics, ROBOT.arms[arm]).solve(target, pose[columns]).angles_rad
    held: dict[str, list[int]] = {}
    for opening, duration_s in zip((0.5, 0.0, 0.5), seconds, strict=True):
        pose[[6, 13]] = opening
        for _ in range(round(duration_s / 0.005)):
            world.set_targets(pose)
            world.step()
        held = {**held, f"at {opening}" if opening else "closed": list(TowelTruth.unpack(world.truth(), 2).held)}
    return held


def test_jaws_hold_a_corner_only_while_they_are_closed_on_it(world):
    held = jaws_at(world, 0.008, (1.0, 0.6, 0.4))
    assert min(held["closed"]) >= 1
    assert held["at 0.5"] == [0, 0]


def test_jaws_that_close_in_the_air_hold_nothing(world):
    assert jaws_at(world, 0.05, (1.0, 0.6, 0.2))["closed"] == [0, 0]


def test_a_new_attempt_forgets_grasps_and_stages(world):
    jaws_at(world, 0.008, (1.0, 0.6, 0.0))
    assert world.judge().stages["grasped"]
    world.reset(2)
    assert TowelTruth.unpack(world.truth(), 2).held.sum() == 0
    assert world.judge().progress == 0.0


def test_stages_of_the_task_must_be_the_judges():
    with pytest.raises(ConfigError, match="grasped"):
        World(ROBOT, dataclasses.replace(TASK, stages=TASK.stages[::-1]), render=False)
