# SPDX-License-Identifier: Apache-2.0
"""The operator before a real graph: simulator, policy, motion and safety in lockstep."""

from __future__ import annotations

import io
import json
import os
from contextlib import ExitStack
from dataclasses import replace
from time import monotonic

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError, MissingDependencyError, RunError
from wam_ros.core.verdict import Verdict
from wam_ros.files.assets import load_policy, load_task
from wam_ros.graph import RunOptions, build_graph
from wam_ros.nodes.motion import MotionNode
from wam_ros.nodes.operator import run_attempts
from wam_ros.nodes.policy import PolicyNode
from wam_ros.nodes.safety import SafetyNode
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.report.recording import SCENE
from wam_ros.report.witness import Witness
from wam_ros.ros.arming import Arming
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.listen import SideListener, take_all
from wam_ros.ros.qos import EVENT, LATCHED
from wam_ros.ros.referee import PersonReferee
from wam_ros.ros.wait import Patience, Waiter

CLASSES = {"sim_robot": SimRobot, "policy": PolicyNode, "motion": MotionNode, "safety": SafetyNode}
OPTIONS = RunOptions("towel_fold", "sim_r1_lite", "hold", seed=3, pace="lockstep", declared_latency_s=0.1)
QUICK = Patience(ready_s=240.0, arm_s=240.0, still_s=60.0)
TURN_S = 0.1


class Silent:
    """A listener that remembers what it was told."""

    def __init__(self):
        self.setup, self.waits, self.moments, self.endings = None, [], [], []

    def begins(self, setup):
        self.setup = setup

    def waiting(self, what):
        self.waits.append(what)

    def moment(self, moment):
        self.moments.append(moment)

    def ended(self, number, attempt):
        self.endings.append((number, attempt.ending))


class Graph:
    """The nodes of a graph, which live while the operator waits: its ``check`` gives them a turn."""

    def __init__(self, context, robot, task):
        self.executor = LeanExecutor(context=context)
        self.nodes = {}
        for spec in build_graph(robot, task, load_policy("hold"), OPTIONS):
            overrides = [Parameter(name, value=value) for name, value in spec.params.items()]
            try:
                self.add(CLASSES[spec.target](context=context, parameter_overrides=overrides))
            except MissingDependencyError as error:
                pytest.skip(str(error))

    def add(self, node):
        self.nodes[node.get_name()] = node
        self.executor.add_node(node)

    def turn(self):
        until_s = monotonic() + TURN_S
        while monotonic() < until_s:
            self.executor.spin_once(timeout_sec=0.002)

    def close(self):
        self.executor.shutdown()
        for node in self.nodes.values():
            node.destroy_node()


class Person(Node):
    """Stops the robot once, as soon as it runs."""

    def __init__(self, context):
        super().__init__("person", context=context)
        self._stop = self.create_client(Trigger, "safety_stop")
        self._asked = False
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)

    def _on_safety(self, status):
        if status.message == "RUNNING" and not self._asked:
            self._asked = True
            self._stop.call_async(Trigger.Request())


TASK = replace(load_task("towel_fold"), timeout_s=0.8)


@pytest.fixture
def graph(ros_context, robot):
    with ExitStack() as stack:
        graph = Graph(ros_context, robot, TASK)
        stack.callback(graph.close)
        yield graph


@pytest.fixture(scope="module")
def story(robot, tmp_path_factory):
    """Two attempts: the first is stopped by a person, the second runs out of time."""
    context, folder, listener = rclpy.Context(), tmp_path_factory.mktemp("run"), Silent()
    rclpy.init(context=context)
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown, context=context)
        graph = Graph(context, robot, TASK)
        stack.callback(graph.close)
        graph.add(Person(context))
        run = attempts(robot, TASK, folder, listener, episodes=2, check=graph.turn)
    return run, listener, folder


def attempts(robot, task, folder, listener, **changes):
    given = {"episodes": 1, "patience": QUICK, **changes}
    return run_attempts(robot, task, load_policy("hold"), OPTIONS, folder, listener, **given)


def test_a_stop_ends_the_attempt_with_its_cause_and_the_next_one_is_armed_anew(story):
    run, listener, _ = story
    assert (run.error, run.complete) == ("", True)
    assert [attempt.ending for attempt in run.attempts] == ["stopped", "timeout"]
    assert [attempt.stop_cause for attempt in run.attempts] == ["OPERATOR", ""]
    assert run.attempts[0].recording.states[-1].text == "STOPPED"
    assert listener.endings == [(1, "stopped"), (2, "timeout")]
    assert {"the policy to load", "safety's consent", "the arms to rest"} <= set(listener.waits)


def test_an_attempt_is_written_down_with_its_seed_its_time_and_its_figures(story):
    attempt = story[0].attempts[1]
    assert attempt.seed == OPTIONS.seed + 1
    assert attempt.duration_s == pytest.approx(TASK.timeout_s, abs=0.2)
    assert attempt.figures["motion__accepted"] >= 1, dict(attempt.figures)
    assert 1 <= len(attempt.recording.latency_ms) <= attempt.figures["policy__inferences"]
    assert set(attempt.stages.values()) == {None}


def test_what_is_seen_at_the_side_makes_a_recording(story, robot):
    recording = story[0].attempts[1].recording
    assert set(recording.frames()[-1].pictures) == {SCENE, *(camera.name for camera in robot.cameras)}
    times, measured = recording.measured()
    assert np.ptp(times) > 0.2
    assert measured[0] == pytest.approx(robot.ready_position(), abs=0.05)
    assert len(recording.commanded(TASK.timeout_s)[0]) > 5


def test_a_run_that_is_not_reported_is_not_yet_called_complete(story):
    run, _, folder = story
    interim = json.loads((folder / "summary.json").read_text())
    assert run.complete
    assert (interim["complete"], interim["episodes"]) == (False, 2)


def test_time_that_stands_still_ends_the_run(graph, robot, tmp_path):
    listener = Silent()

    def turn():
        if not listener.moments:
            graph.turn()

    run = attempts(
        robot, replace(TASK, timeout_s=60.0), tmp_path, listener, check=turn, patience=replace(QUICK, still_s=1.0)
    )
    assert "clock stood still for 1 s" in run.error
    assert not run.complete


def test_a_node_that_never_reports_is_named(robot, tmp_path):
    run = attempts(robot, TASK, tmp_path, Silent(), patience=replace(QUICK, ready_s=0.2))
    assert run.error == "node policy never reported on diagnostics; look at its log (waited 0.2 s)"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["complete"], summary["error"], summary["episodes"]) == (False, run.error, 0)


def test_a_process_that_ends_ends_the_run_with_its_sentence(robot, tmp_path):
    def check():
        raise RunError("node motion ended with code 1")

    assert attempts(robot, TASK, tmp_path, Silent(), check=check).error == "node motion ended with code 1"


def test_ctrl_c_ends_the_run_without_a_traceback(robot, tmp_path):
    def check():
        raise KeyboardInterrupt

    run = attempts(robot, TASK, tmp_path, Silent(), check=check)
    assert run.error == "interrupted by the operator"
    assert run.interrupted


def test_a_camera_that_never_comes_is_named_with_its_topic(ros_context, robot):
    node = Node("operator", context=ros_context)
    with spinning(ros_context, node) as executor:
        witness = Witness(robot, lambda: 0)
        SideListener(node, robot, witness)
        arming = Arming(node, Waiter(executor, lambda: None), witness, lambda what: None, Patience(arm_s=0.2))
        with pytest.raises(
            RunError, match=f"camera left_wrist never sent an image on {robot.camera('left_wrist').color}"
        ):
            arming.arm()


@pytest.fixture
def terminal():
    person, program = os.openpty()
    with os.fdopen(program, "r") as keyboard, os.fdopen(person, "w") as hands:
        yield keyboard, hands


@pytest.mark.parametrize(("key", "success"), [("s", True), ("f", False)])
def test_a_person_judges_with_a_key(ros_context, terminal, key, success, tmp_path):
    keyboard, hands = terminal

    def type_in(text):
        hands.write(text)
        hands.flush()

    with (tmp_path / "screen").open("w") as screen:
        waiter = Waiter(SingleThreadedExecutor(context=ros_context), lambda: type_in("\n"))
        referee = PersonReferee(
            Node("at_terminal", context=ros_context), TASK, waiter, keyboard=keyboard, screen=screen
        )
        referee.reset(1)
        while referee.verdict().success is not None:
            pass
        type_in(f"{key}\n")
        deadline_s = monotonic() + 5
        while referee.verdict().success is None and monotonic() < deadline_s:
            pass
        assert referee.verdict().success is success
    assert "attempt 1: set the scene" in (tmp_path / "screen").read_text()


def test_a_real_robot_needs_a_terminal(ros_context, tmp_path):
    file = tmp_path / "not_a_terminal"
    file.touch()
    waiter, node = Waiter(SingleThreadedExecutor(context=ros_context), lambda: None), Node("op", context=ros_context)
    with file.open() as keyboard, pytest.raises(ConfigError, match="needs a terminal"):
        PersonReferee(node, TASK, waiter, keyboard=keyboard)


def test_a_person_at_a_console_begins_marks_stages_and_judges(ros_context, tmp_path):
    file = tmp_path / "no_terminal"
    file.touch()
    operator, person = Node("operator", context=ros_context), Node("person", context=ros_context)
    marks = person.create_publisher(String, "operator/mark", EVENT)
    with spinning(ros_context, operator, person) as executor, file.open() as keyboard:
        waiter = Waiter(executor, lambda: marks.publish(String(data="start")))
        referee = PersonReferee(operator, TASK, waiter, remote=True, keyboard=keyboard, screen=io.StringIO())
        referee.reset(1)
        assert referee.verdict() == Verdict()
        for word in ("grasped", "lifted", "no such stage"):
            marks.publish(String(data=word))
        wait_until(executor, lambda: referee.verdict().stages == {"grasped", "lifted"})
        assert (referee.verdict().progress, referee.verdict().success) == (0.5, None)
        marks.publish(String(data="failure"))
        wait_until(executor, lambda: referee.verdict().success is False)
        assert referee.verdict().progress == 0.5


def test_taking_all_runs_what_has_come_and_does_not_wait(ros_context):
    node, ran = Node("gulper", context=ros_context), []
    with spinning(ros_context, node) as executor:
        guards = [node.create_guard_condition(lambda i=i: ran.append(i)) for i in range(3)]
        for guard in guards:
            guard.trigger()
        assert take_all(executor) >= 3
        assert sorted(ran) == [0, 1, 2]
        assert take_all(executor) == 0
