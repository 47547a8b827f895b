# SPDX-License-Identifier: Apache-2.0
"""Earphones to be packed: what the truth says, where things lie, the judge's laws, and hands that hold by friction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.core.packing import HANDLE_Y_M, LID_OPEN_RAD, Pack, PackingTruth, in_frame, of_frame
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver
from wam_ros.policies.choreography import hand
from wam_ros.sim.graphics import choose_backend
from wam_ros.sim.randomisation import NOMINAL, VARIED
from wam_ros.sim.tasks.layout import _apart, _box_discs, _case_discs, _other_discs, draw
from wam_ros.sim.tasks.packing import Course, returned
from wam_ros.sim.world import World

TASK = load_task("earphone_pack")
ROBOT: Robot = load_robot(TASK.default_robot)
OPTIONS = TASK.scene_options
HOME = np.array([0.3, 0.1, -0.05, 0.4])
STANDS = np.array([*HOME, 1.0])
INSIDE, OUTSIDE = np.array([*of_frame(HOME, (0.0, 0.0, 0.02)), 0.4, 1.0]), np.array([0.3, -0.2, -0.03, 0.0, 1.0])
DONE = Pack(HOME, STANDS, 0.0, INSIDE)
poses = st.lists(st.floats(-1, 1), min_size=4, max_size=4).map(np.array)
points = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(np.array)


def variant(**options: object) -> World:
    return World(ROBOT, replace(TASK, scene_options={**OPTIONS, **options}), render=False)


def truth(world: World) -> PackingTruth:
    return PackingTruth.unpack(world.truth(), len(ROBOT.arms))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    built = variant()
    yield built
    built.close()


# -- numbers ---------------------------------------------------------------------------------


@given(st.lists(st.floats(-3, 3), min_size=3 * 15 + 4, max_size=3 * 15 + 4).map(np.array))
@settings(max_examples=30)
def test_truth_is_read_back_as_it_was_packed(values: FloatArray) -> None:
    found = PackingTruth.unpack(values, 2)
    assert len(found.packs) == 3
    assert np.array_equal(found.pack(), values)
    with pytest.raises(ShapeError):
        PackingTruth.unpack(values[:-1], 2)


@given(poses, points)
def test_a_point_of_a_box_is_found_again_in_the_box(pose: FloatArray, point: FloatArray) -> None:
    assert in_frame(pose, of_frame(pose, point)) == pytest.approx(point)


def test_a_case_is_in_the_box_only_between_its_walls_and_below_their_edge() -> None:
    assert DONE.holds_case
    for beside in ((0.05, 0, 0.02), (0, 0.038, 0.02), (0, 0, 0.06), (0, 0, -0.02)):
        assert not replace(DONE, case=np.array([*of_frame(HOME, beside), 0, 1])).holds_case


# -- judge -----------------------------------------------------------------------------------


def test_a_box_is_grasped_when_a_hand_lifts_it_and_stays_so() -> None:
    lifted = replace(DONE, box=STANDS + [0, 0, 0.02, 0, 0], case=OUTSIDE)
    assert not Course().after(lifted, box_held=False, case_held=False).grasped, "thrown up"
    assert not Course().after(replace(DONE, case=OUTSIDE), box_held=True, case_held=False).grasped, "only touched"
    reached = Course().after(lifted, box_held=True, case_held=False)
    assert reached == Course(grasped=True)
    assert reached.after(DONE, box_held=False, case_held=False).grasped


def test_a_lid_is_open_when_it_stays_so_by_itself() -> None:
    assert not Course().after(replace(DONE, lid_rad=1.1, case=OUTSIDE), False, False).opened
    assert Course().after(replace(DONE, lid_rad=LID_OPEN_RAD, case=OUTSIDE), False, False).opened


def test_a_case_is_inserted_when_it_is_let_go_inside() -> None:
    assert not Course().after(DONE, box_held=False, case_held=True).inserted
    assert not Course().after(replace(DONE, case=OUTSIDE), False, False).inserted
    assert Course().after(DONE, box_held=True, case_held=False).inserted


def test_each_fault_alone_spoils_the_return() -> None:
    assert returned(DONE, box_held=False)
    assert not returned(DONE, box_held=True)
    tilted = np.array([*HOME, 0.9])
    faults = {"lid_rad": 0.2, "case": OUTSIDE, "box": tilted, "placed": HOME + [0.04, 0, 0, 0]}
    for name, fault in faults.items():
        assert not returned(replace(DONE, **{name: fault}), box_held=False), name
    assert not returned(replace(DONE, placed=HOME + [0, 0, 0, 0.5]), box_held=False), "turned"
    raised = replace(DONE, box=STANDS + [0, 0, 0.01, 0, 0], case=INSIDE + [0, 0, 0.01, 0, 0])
    assert not returned(raised, box_held=False), "on top of something"


def test_a_box_that_has_come_round_is_where_it_was() -> None:
    assert returned(replace(DONE, placed=HOME + [0, 0, 0, 2 * np.pi]), box_held=False)


# -- where things lie ------------------------------------------------------------------------


def test_nothing_lies_in_the_way_of_anything_in_any_setting(world: World) -> None:
    options = world._scene.options
    for seed in range(60):
        for novel in (False, True):
            area = replace(options.area(0.2), novel=novel)
            drawn = draw(np.random.default_rng(seed), area, 3, 4)
            discs = [_box_discs(np.array([*area.work, 0.0, 0.0]))]
            discs += [f(p) for f, ps in _kinds(drawn) for p in ps]
            assert all(_apart(a, b) for i, a in enumerate(discs) for b in discs[:i]), seed


def _kinds(drawn):  # type: ignore[no-untyped-def]
    return ((_box_discs, drawn.boxes), (_case_discs, drawn.cases), (_other_discs, drawn.others))


def test_an_attempt_starts_in_the_ranges_of_the_task_and_novel_ones_start_beyond(world: World) -> None:
    beyond = variant(novel_placement=True)
    for seed in range(20):
        for built, low, high in ((world, 0.0, 1.0), (beyond, 1.0, 1.5)):
            built.reset(seed)
            (pack,) = truth(built).packs
            for place, spread, thing in ((pack.box, 0.03, "box"), (pack.case, 0.04, "case")):
                off = np.abs(place[:2] - [OPTIONS[f"{thing}_x_m"], OPTIONS[f"{thing}_y_m"]]) / spread
                assert ((off >= low) & (off <= high)).all()
                assert abs(place[3]) <= 0.52
            assert pack.lid_rad == 0.0
            assert pack.placed == pytest.approx(pack.box[:4])


def test_what_lies_on_the_table_stays_where_it_is(world: World) -> None:
    crowded = variant(packs=3, distractors=4)
    crowded.reset(1)
    before = crowded._data.qpos.copy()
    for _ in range(200):
        crowded.step()
    moved = np.abs(crowded._data.qpos - before)
    assert moved.max() < 2e-3
    assert crowded.judge().progress == 0.0


def test_a_seed_gives_bit_equal_attempts_and_another_seed_another(world: World) -> None:
    def episode(seed: int) -> list[FloatArray]:
        world.reset(seed)
        for step in range(60):
            world.set_targets(ROBOT.ready_position() + 0.002 * step * np.array([*([1.0] * 6), 0] * 2))
            world.step()
        return [world.joints(), world.truth(), world._data.qvel.copy()]

    first = episode(7)
    assert not np.array_equal(episode(8)[1], first[1])
    assert all(np.array_equal(a, b) for a, b in zip(episode(7), first, strict=True))


def test_an_unseen_cloth_is_drawn_for_each_attempt_and_moves_nothing(world: World) -> None:
    other = variant(unseen_cloth=True)
    seen = set()
    for seed in range(12):
        world.reset(seed)
        other.reset(seed)
        seen.add(int(other._model.geom_matid[other._scene._cloth]))
        assert np.array_equal(truth(world).pack(), truth(other).pack())
    assert len(seen) == 3
    assert -1 not in seen


def test_a_look_that_is_drawn_leaves_no_trace(world: World) -> None:
    world.randomisation = VARIED
    world.reset(1)
    tinted = world._model.geom_rgba.copy()
    place = truth(world).pack()
    world.randomisation = NOMINAL
    world.reset(1)
    assert not np.array_equal(tinted, world._model.geom_rgba)
    assert np.array_equal(truth(world).pack(), place)


@pytest.mark.parametrize(
    ("options", "named"), [({"packs": 4}, "packs"), ({"distractors": -1}, "distractors"), ({"lids": 2}, "lids")]
)
def test_settings_that_do_not_exist_are_refused(options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        variant(**options)


def test_stages_of_the_task_must_be_the_judges() -> None:
    with pytest.raises(ConfigError, match="grasped"):
        World(ROBOT, replace(TASK, stages=TASK.stages[::-1]), render=False)


@pytest.mark.skipif(choose_backend() == "disabled", reason="nothing draws here")
def test_every_camera_sees_the_box_or_the_case_from_the_ready_pose() -> None:
    built = World(ROBOT, TASK)
    try:
        built.reset(0)
        (pack,) = truth(built).packs
        for camera, targets in (
            ("head", (pack.box, pack.case)),
            ("left_wrist", (pack.box,)),
            ("right_wrist", (pack.case,)),
        ):
            T = Kinematics(ROBOT).pose(built.joints(), ROBOT.camera(camera).frame)
            depth_m = built.render(camera)[1]
            for target in targets:
                u, v, distance = built.intrinsics(camera) @ T[:3, :3].T @ (target[:3] - T[:3, 3])
                row, column = round(v / distance), round(u / distance)
                assert 0 <= row < depth_m.shape[0]
                assert 0 <= column < depth_m.shape[1]
                assert depth_m[row, column] == pytest.approx(distance, abs=0.07)
    finally:
        built.close()


# -- hands -----------------------------------------------------------------------------------


def held_after(world: World, lift_m: float, lose: bool = False) -> tuple[list[int], Pack]:
    """Bring the left hand to the handle, close it, and lift; return what it then holds, and where that is."""
    world.reset(2)
    (pack,) = truth(world).packs
    kinematics, arm = Kinematics(ROBOT), ROBOT.arms[0]
    solver, goal = ToolSolver(kinematics, arm), np.array(ROBOT.ready_position())
    for height_m, opening, steps in ((0.1, 0.6, 200), (0.0, 0.6, 200), (0.0, 0.0, 100), (lift_m, 0.0, 200)):
        if lose and height_m == lift_m:
            world._grasps.lose(arm.name)
        point = of_frame(pack.box if steps == 200 and opening else pack.placed, (0, HANDLE_Y_M, 0.018 + height_m))
        goal[:6] = solver.solve(hand(point, pack.placed[3], 0.3), goal[:6]).angles_rad
        goal[6] = opening
        for _ in range(steps):
            world.set_targets(goal)
            world.step()
    return world._grasps.held[arm.name], truth(world).packs[0]


def test_fingers_that_close_on_the_handle_hold_the_box_by_friction(world: World) -> None:
    held, pack = held_after(world, 0.05)
    assert held == [0]
    assert pack.box[2] - pack.placed[2] == pytest.approx(0.05, abs=0.01)
    assert world.judge().stages["grasped"]
    assert world.judge().progress == 0.25
    world.reset(2)
    assert world.judge().progress == 0.0
    assert truth(world).held.tolist() == [-1, -1]


def test_what_slips_is_lost_until_the_hand_has_opened(world: World) -> None:
    friction = world._model.geom_friction.copy()
    held, pack = held_after(world, 0.05, lose=True)
    assert held == []
    assert pack.box[2] - pack.placed[2] < 0.02
    for _ in range(60):
        world.set_targets(np.array(ROBOT.ready_position()))
        world.step()
    assert np.array_equal(world._model.geom_friction, friction)


def test_a_link_of_an_arm_pushes_what_it_meets(world: World) -> None:
    world.reset(2)
    (pack,) = truth(world).packs
    solver, goal = ToolSolver(Kinematics(ROBOT), ROBOT.arms[0]), np.array(ROBOT.ready_position())
    goal[6] = 0.0  # open, its fingers would pass the box on both sides
    for x_m in (-0.10, *np.linspace(-0.10, 0.0, 20)):
        goal[:6] = solver.solve(hand(of_frame(pack.box, (x_m, 0, 0.03)), pack.box[3], 0.9), goal[:6]).angles_rad
        for _ in range(200 if x_m == -0.10 else 15):
            world.set_targets(goal)
            world.step()
    assert np.linalg.norm(truth(world).packs[0].box[:2] - pack.box[:2]) > 0.02
    assert not world.judge().stages["grasped"]
