# SPDX-License-Identifier: Apache-2.0
"""The demonstrator packs earphones: whole attempts through chunks, and steps that are done again when they fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backend_conformance import BackendConformance, restamped
from wam_ros.core.errors import BackendError
from wam_ros.core.packing import HANDLE_Y_M, LID_OPEN_RAD, Pack, of_frame
from wam_ros.core.types import Chunk, FloatArray, Observation
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.policies.base import Request
from wam_ros.policies.expert import Expert
from wam_ros.policies.pack import EXAMPLE, Packing, PackScript, Step
from wam_ros.sim.embodiment import FIRST_ARM
from wam_ros.sim.rollout import Pace, attempt
from wam_ros.sim.world import World

TASK, POLICY = load_task("earphone_pack"), load_policy("expert")
ROBOT = load_robot(TASK.default_robot)
READY = ROBOT.ready_position()
(FIRST,) = EXAMPLE.packs
WORK = np.array([*EXAMPLE.work, FIRST.placed[2], 0.0])
INSIDE = np.array([*of_frame(WORK, (-0.006, 0, 0.021)), 0.0, 1.0])
AT_WORK = replace(FIRST, box=np.array([*WORK, 1.0]))
HELD = (0.0, -1.0)


class TestPackingExpert(BackendConformance):
    policy_name, robot_name, task_name = "expert", ROBOT.name, TASK.name

    def test_chunks_of_later_observations_continue_the_plan(self, warm):
        request = warm.example_request()
        first = warm.infer(request)
        later = warm.infer(restamped(request, first.times_ns[7]))
        assert later.positions[:24] == pytest.approx(first.positions[8:], abs=1e-9)


@pytest.fixture(scope="module")
def script() -> PackScript:
    return PackScript(ROBOT, TASK)


@pytest.fixture(scope="module")
def world() -> World:
    return World(ROBOT, TASK, render=False)


def seen(pack: Pack, held: tuple[float, float] = (-1.0, -1.0)) -> FloatArray:
    return replace(EXAMPLE, packs=(pack,), held=np.array(held)).pack()


def course(script: PackScript) -> list[Packing]:
    """The five steps, each from where the one before has ended."""
    opened, inserted = replace(AT_WORK, lid_rad=LID_OPEN_RAD), replace(AT_WORK, lid_rad=LID_OPEN_RAD, case=INSIDE)
    plans, start = [], READY
    for pack, held in (
        (FIRST, (-1.0, -1.0)),
        (AT_WORK, HELD),
        (opened, HELD),
        (inserted, HELD),
        (replace(inserted, lid_rad=0.0), HELD),
    ):
        plans.append(script.begin(start, seen(pack, held)))
        start = plans[-1].path.positions[-1]
    return plans


def test_the_step_that_is_due_is_read_from_where_things_are(script):
    assert [plan.step for plan in course(script)] == [Step.FETCH, Step.OPEN, Step.INSERT, Step.CLOSE, Step.RETURN]
    packed = replace(FIRST, case=np.array([*of_frame(FIRST.box, (0, 0, 0.021)), 0.0, 1.0]))
    assert script.begin(READY, seen(packed)).step is Step.REST
    assert script.begin(READY, seen(AT_WORK)).step is Step.FETCH, "a box that was lost is fetched again"
    assert script.begin(READY, seen(replace(AT_WORK, case=INSIDE))).step is Step.RETURN


def test_what_has_fallen_over_is_left_alone_and_the_next_one_is_packed(script):
    fallen = replace(FIRST, box=np.array([*FIRST.box[:4], 0.0]))
    assert script.begin(READY, seen(fallen)).step is Step.REST
    both = replace(EXAMPLE, packs=(fallen, FIRST)).pack()
    plan = script.begin(READY, both)
    assert plan.step is Step.FETCH
    assert plan.grip.target == 1


def test_steps_keep_a_fifth_of_the_limits_and_end_at_rest_in_the_ready_pose(script):
    velocity, _, _ = ROBOT.motion_limits()
    lower, upper = ROBOT.bounds()
    plans = course(script)
    for plan in plans:
        rows = plan.path.at(np.arange(0, plan.path.times_s[-1], 0.01))
        assert (np.abs(np.diff(rows, axis=0)) / 0.01 <= 0.801 * velocity).all()
        assert (rows >= lower - 1e-9).all()
        assert (rows <= upper + 1e-9).all()
    assert plans[-1].path.positions[-1] == pytest.approx(READY, abs=2e-3)
    assert sum(plan.path.times_s[-1] for plan in plans) < 30


def test_a_hand_that_holds_presses_on(script):
    measured = np.array(READY)
    measured[6] = 0.22
    plan = script.begin(measured, seen(AT_WORK, HELD))
    assert plan.path.positions[:, 6].max() == 0.0


def test_the_handle_is_gripped_across_wherever_it_points(script):
    kinematics = Kinematics(ROBOT)
    for yaw in (-0.52, 0.0, 0.52):
        pack = replace(FIRST, box=np.array([*FIRST.box[:3], yaw, 1.0]))
        plan = script.begin(READY, seen(pack))
        tool = kinematics.tool_pose(plan.path.at(np.array([plan.grip.holding_s[0]]))[0], ROBOT.arms[0])
        assert tool[:3, 3] == pytest.approx(of_frame(pack.box, (0, HANDLE_Y_M, 0.018)), abs=1e-3)
        assert abs(tool[:3, 1] @ [-np.sin(yaw), np.cos(yaw), 0]) > 0.999, "the jaws close across the handle"


def test_a_step_is_over_when_its_path_is_or_when_it_misses(script):
    plan = script.begin(READY, seen(FIRST))
    gripped_s, end_s = plan.grip.holding_s[0], plan.path.times_s[-1]
    moved = replace(FIRST, box=FIRST.box + [0.02, 0, 0, 0, 0])
    assert not script.ends(plan, 1.0, READY, seen(FIRST))
    assert script.ends(plan, 1.0, READY, seen(moved)), "it is aimed at anew"
    assert not script.ends(plan, gripped_s + 0.5, READY, seen(moved, HELD))
    assert script.ends(plan, gripped_s + 0.5, READY, seen(moved)), "the hand is empty"
    assert script.ends(plan, end_s + 0.01, READY, seen(AT_WORK, HELD))


def test_a_scene_without_a_script_is_refused():
    with pytest.raises(BackendError, match="scene"):
        Expert().load(POLICY, ROBOT, replace(TASK, scene="kitchen"))


def expert() -> Expert:
    made = Expert()
    made.load(POLICY, ROBOT, TASK)
    return made


def arms_touch(world: World) -> bool:
    """True when two shapes in contact belong to two arms."""
    types = world._model.geom_contype[world._data.contact.geom]
    return bool(((types >= FIRST_ARM).all(axis=1) & (types[:, 0] != types[:, 1])).any())


def acting(who: Expert):  # type: ignore[no-untyped-def]
    return lambda seen: who.infer(Request(seen, np.zeros((1, 1, 3), np.uint8), TASK.instruction, None, 0.19))


def test_it_packs_through_chunks_of_which_a_quarter_is_executed_and_its_arms_never_touch(world):
    act, touches = acting(expert()), []

    def watched(seen: Observation) -> Chunk:
        touches.append(arms_touch(world))
        return act(seen)

    moments = list(attempt(world, watched, 3, Pace(execute_rows=1, latency_s=0.19, draw=False)))
    assert not any(touches)
    verdict = moments[-1].judgement
    assert verdict.success, verdict
    assert verdict.progress == 1.0
    assert moments[-1].observation.stamp_ns < 32e9
    reached = [moment.judgement.progress for moment in moments]
    assert reached == sorted(reached)
    assert set(reached) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_a_case_that_is_missed_is_tried_again(world):
    who = expert()
    act, insertions = acting(who), []

    def clumsy(seen: Observation) -> Chunk:
        chunk = act(seen)
        plan = who._course.plan
        if plan.step is Step.INSERT and not any(plan is other for other in insertions):
            insertions.append(plan)
        beside = 0.3 if len(insertions) == 1 and plan.step is Step.INSERT else 0.0
        return replace(chunk, positions=chunk.positions + beside * (np.arange(14) == 7))

    moments = list(attempt(world, clumsy, 4, Pace(latency_s=0.19, draw=False)))
    assert len(insertions) > 1
    assert moments[-1].judgement.success, moments[-1].judgement
