# SPDX-License-Identifier: Apache-2.0
"""The wizard of a calibration and a person's keys, before a graph whose answers the test chooses."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rich.console import Console
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.errors import RunError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.nodes.wizard import lead_through
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.qos import EVENT, LATCHED, SENSOR, STATE
from wam_ros.ros.status import OK, make_status
from wam_ros.ros.timebase import steady_clock

Deeds = Iterator[Callable[[], object]]


class Graph(Node):
    """What a wizard sees and asks: a driver, safety, motion, and a calibration that lacks poses until it is ``enough``.

    Attributes:
        state, cause: of safety; leader: whom motion follows; far: why it does not.
        asked: names of the services that were called, in order.
    """

    def __init__(self, context, robot, deeds: Callable[[Graph], Deeds]) -> None:
        super().__init__("graph", context=context)
        self.state, self.cause, self.leader, self.far, self.enough = "DISARMED", "", "policy", "", False
        self.asked: list[str] = []
        self._position, self._deeds, self._awaited = np.array(robot.ready_position()), deeds(self), lambda: True
        self._images = [self.create_publisher(Image, camera.color, SENSOR) for camera in robot.cameras]
        self._joints = [(t, self.create_publisher(JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]
        self._said = self.create_publisher(DiagnosticArray, "diagnostics", EVENT)
        self._safety = self.create_publisher(DiagnosticStatus, "safety/state", LATCHED)
        for name in ("arm", "takeover", "sim/play"):
            self._serve(SetBool, name)
        for name in (
            "safety_reset",
            *(f"calibrate/{what}" for what in ("capture", "solve", "verify", "save", "discard")),
        ):
            self._serve(Trigger, name)
        self.create_timer(0.05, self._on_tick, clock=steady_clock())

    def _serve(self, kind: type, name: str) -> None:
        def answer(request, response):
            self.asked.append(name)
            response.success, response.message = self._answer(name, getattr(request, "data", True))
            return response

        self.create_service(kind, name, answer)

    def _answer(self, name: str, wish: bool) -> tuple[bool, str]:
        if name == "arm":
            if self.state == "STOPPED":
                return False, f"stopped: {self.cause}; reset first"
            self.state = "ARMED" if wish else "DISARMED"
            return True, self.state
        if name == "safety_reset":
            self.state, self.cause = "DISARMED", ""
        if name == "takeover":
            self.leader = "teleop" if wish else "policy"
            return True, f"{self.leader} leads"
        if name == "calibrate/verify":
            return self.enough, "verified: 2 pictures" if self.enough else "expected at least 8 poses, got 4"
        return True, f"{name} done"

    def _on_tick(self) -> None:
        for publisher in self._images:
            publisher.publish(Image(height=1, width=1, encoding="mono8", step=1, data=b"\0"))
        for topic, publisher in self._joints:
            publisher.publish(JointState(name=[topic.name], position=topic.to_native(self._position).tolist()))
        phase = "silent" if self.state == "DISARMED" else "following"
        values = {
            "motion": {"source": self.leader, "phase": phase, "too_far": self.far},
            "calibration": {"lacks": "more", "told": 1},
        }
        states = {"calibration": "WAITING", **dict.fromkeys(("motion", "safety", "policy"), self.state)}
        told = [make_status(f"wam/{n}", OK, "", {"state": s, **values.get(n, {})}) for n, s in states.items()]
        self._said.publish(DiagnosticArray(status=told))
        self._safety.publish(make_status("wam/safety", OK, self.state, {"cause": self.cause}))
        if self._awaited():
            self._awaited = next(self._deeds, lambda: False)


@contextmanager
def playing(context, robot, deeds: Callable[[Graph], Deeds]) -> Iterator[Graph]:
    node, executor, over = Graph(context, robot, deeds), LeanExecutor(context=context), Event()
    executor.add_node(node)

    def live() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = Thread(target=live)
    thread.start()
    try:
        yield node
    finally:
        over.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()


@pytest.fixture
def one_camera(robot):
    return replace(robot, cameras=(robot.camera("left_wrist"),), leader_camera="left_wrist")


def test_led_by_a_leader_arm_neither_a_stop_nor_a_solution_too_early_costs_a_pose(ros_context, one_camera, keyboard):
    screen = io.StringIO()

    def press(key: str, answer: str) -> Deeds:
        before = len(screen.getvalue())
        os.write(keyboard, key.encode())
        yield lambda: answer in screen.getvalue()[before:]

    def deeds(graph: Graph) -> Deeds:
        yield lambda: "keys: " in screen.getvalue()
        yield from press("t", "teleop leads")
        graph.state, graph.cause = "STOPPED", "CAMERA_STALE:left_wrist"
        yield lambda: "safety has stopped the arms: CAMERA_STALE:left_wrist; " in screen.getvalue()
        yield from press("a", "ARMED")
        for graph.far in (
            "left_arm_joint4 of the leader is +0.71 rad from",
            "left_arm_joint4 of the leader is +0.70 rad from",
        ):
            yield lambda: "not followed: left_arm_joint4 of the leader is +0.7" in screen.getvalue()
        graph.far = "left_arm_joint2 of the leader is -0.60 rad from"
        yield lambda: "not followed: left_arm_joint2 of the leader is -0.60 rad from" in screen.getvalue()
        graph.far = ""
        yield from press("s", "expected at least 8 poses, got 4")
        yield lambda: screen.getvalue().count("keys: ") == 2
        yield from press("t", "policy leads")
        graph.enough = True
        yield from press("s", "calibrate/save done")

    with playing(ros_context, one_camera, deeds) as graph:
        lead_through(one_camera, "teleop", Console(file=screen, width=300), check=lambda: None, by_keys=True)
    assert (graph.state, graph.leader) == ("DISARMED", "policy")
    assert graph.asked.count("calibrate/solve") == 2
    assert graph.asked.count("calibrate/save") == 1
    assert "calibrate/discard" not in graph.asked
    assert screen.getvalue().count("safety has stopped") == 1
    assert screen.getvalue().count("not followed: left_arm_joint4") == 1, "a number that changes is no news"


def test_a_stop_is_the_end_where_nobody_could_arm_again(ros_context, one_camera):
    def deeds(graph: Graph) -> Deeds:
        yield lambda: "sim/play" in graph.asked
        graph.state, graph.cause = "STOPPED", "OPERATOR"

    with playing(ros_context, one_camera, deeds) as graph, pytest.raises(RunError, match="OPERATOR; nothing is saved"):
        lead_through(one_camera, "teleop", Console(file=io.StringIO()), check=lambda: None, by_keys=False)
    assert "calibrate/save" not in graph.asked
