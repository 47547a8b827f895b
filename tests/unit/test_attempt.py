# SPDX-License-Identifier: Apache-2.0
"""What an onlooker makes of an attempt: its course, and what the nodes said meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from wam_ros.core.verdict import Verdict
from wam_ros.files.assets import load_robot, load_task
from wam_ros.report.course import Course
from wam_ros.report.recording import Recording
from wam_ros.report.witness import Witness

ROBOT, TASK = load_robot("sim_r1_lite"), load_task("towel_fold")
FIRST = TASK.stages[0].name


def course() -> Course:
    return Course(1, 7, TASK, ROBOT, start_ns=0)


def witness(now_ns: int = 0) -> Witness:
    return Witness(ROBOT, lambda: now_ns)


# course


def test_a_stage_keeps_the_time_at_which_it_was_first_reached():
    made = course()
    for elapsed_s, stages in ((1.0, frozenset()), (2.0, {FIRST}), (3.0, frozenset()), (4.0, {FIRST})):
        made.advance(Verdict(elapsed_s, stages=frozenset(stages)), robot_s=99.0)
    assert made.stages[FIRST] == 2.0
    assert [(mark.time_s, mark.text) for mark in made.recording.marks] == [(2.0, FIRST)]


def test_the_judges_clock_counts_where_there_is_one():
    made = course()
    made.advance(Verdict(1.0), robot_s=5.0)
    assert made.time_s == 1.0
    made.advance(Verdict(None), robot_s=6.0)
    assert made.time_s == 6.0


def test_time_that_does_not_advance_is_noticed():
    made = course()
    assert made.advance(Verdict(1.0), 0.0)
    assert not made.advance(Verdict(1.0), 0.0)


@pytest.mark.parametrize(
    ("verdict", "state", "ending"),
    [
        (Verdict(1.0), "RUNNING", None),
        (Verdict(1.0, 1.0, True), "RUNNING", "success"),
        (Verdict(1.0, 0.5, False), "RUNNING", "failed"),
        (Verdict(1.0), "STOPPED", "stopped"),
        (Verdict(TASK.timeout_s), "RUNNING", "timeout"),
        (Verdict(TASK.timeout_s, 1.0, True), "STOPPED", "success"),
    ],
)
def test_what_ends_an_attempt(verdict, state, ending):
    made = course()
    made.advance(verdict, 0.0)
    assert made.ending(state) == ending


def test_an_attempt_says_what_its_course_was():
    made = course()
    made.advance(Verdict(2.5, 0.25, None, frozenset({FIRST}), {"height_m": 0.1}), 0.0)
    attempt = made.attempt("stopped", 3.0, "OPERATOR", {"motion__accepted": 2.0})
    assert (attempt.seed, attempt.success, attempt.progress, attempt.duration_s) == (7, False, 0.25, 2.5)
    assert (attempt.stop_cause, attempt.measures["height_m"], attempt.figures["motion__accepted"]) == (
        "OPERATOR",
        0.1,
        2.0,
    )


# witness


def test_what_never_came_is_named_with_its_topic():
    seen = witness()
    assert len(seen.missing()) == len(ROBOT.cameras) + 2 * len(ROBOT.arms)
    for camera in ROBOT.cameras[1:]:
        seen.wants(camera.name, 1)
    position = ROBOT.ready_position().copy()
    position[-1] = np.nan
    seen.on_joints(1, position)
    first, grip = ROBOT.cameras[0], ROBOT.arms[-1].gripper_state
    assert seen.missing() == [
        f"camera {first.name} never sent an image on {first.color}",
        f"joint feedback of {ROBOT.arms[-1].gripper.joint} never came on {grip.topic}",
    ]
    seen.wants(first.name, 1)
    seen.on_joints(2, ROBOT.ready_position())
    assert seen.missing() == []


def test_counters_count_from_the_start_of_the_attempt_and_passing_values_are_left_out():
    seen = witness()
    seen.on_status("motion", "", {"accepted": "10", "refused_stale": "4", "period_ms_p99": "11", "state": "ARMED"})
    seen.begin(Recording(ROBOT.joint_names, ROBOT.leader_camera, 0))
    values = {"accepted": "15", "refused_stale": "4", "period_ms_p99": "12", "state": "RUNNING", "age_ms_head": "7"}
    seen.on_status("motion", "", values)
    seen.on_status("policy", "", {"inferences": "3", "skew_ms_p99": "nan"})
    assert seen.figures() == {
        "motion__accepted": 5.0,
        "motion__refused_stale": 0.0,
        "motion__period_ms_p99": 12.0,
        "policy__inferences": 3.0,
    }


def test_every_inference_gives_one_latency_sample():
    seen = witness()
    recording = Recording(ROBOT.joint_names, ROBOT.leader_camera, 0)
    seen.on_status("policy", "", {"inferences": "1", "latency_ms": "500"})
    seen.begin(recording)
    for count, latency_ms in (("1", "500"), ("2", "200"), ("2", "200"), ("3", "210")):
        seen.on_status("policy", "", {"inferences": count, "latency_ms": latency_ms})
    assert [ms for _, ms in recording.latency_ms] == [200.0, 210.0]


def test_nothing_is_kept_without_a_recording():
    seen = witness()
    assert not seen.wants(ROBOT.leader_camera, 1)
    seen.on_joints(1, ROBOT.ready_position())
    seen.on_safety("ARMED", "")
    recording = Recording(ROBOT.joint_names, ROBOT.leader_camera, 0)
    seen.begin(recording)
    assert seen.wants(ROBOT.leader_camera, 2)
    seen.on_safety("ARMED", "")
    seen.on_safety("RUNNING", "")
    assert [mark.text for mark in recording.states] == ["ARMED", "RUNNING"]
