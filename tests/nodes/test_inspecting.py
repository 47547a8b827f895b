# SPDX-License-Identifier: Apache-2.0
"""The doctor looks at a double as it would look at the robot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from threading import Event, Thread
from time import monotonic

from rclpy.node import Node
from sensor_msgs.msg import JointState

from tests.nodes.test_double import opened, standard
from tests.ros_support import PATIENCE_S, spinning
from wam_ros import cli
from wam_ros.core.inspection import inspect
from wam_ros.files.assets import load_robot
from wam_ros.ros.inspecting import look
from wam_ros.ros.qos import COMMAND

ROBOT = replace(standard(load_robot("r1_lite")), domains=())


def found(robot, complete):
    """Look until all is there that is waited for: discovery takes its time on a busy machine."""
    deadline_s = monotonic() + PATIENCE_S
    while monotonic() < deadline_s:
        seen, where, controllers = look(robot, 2.0)
        if complete(seen, controllers):
            return seen, where, controllers
    raise AssertionError("it was never found")


@contextmanager
def living(executor):
    """Spin it in a thread of its own."""
    over = Event()

    def live() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def alive(context, *nodes: Node):
    """Nodes that answer while somebody else is busy."""
    with spinning(context, *nodes) as executor, living(executor):
        yield


@pytest.fixture
def driver(ros_context, tmp_path):
    """A double that lives in a thread of its own, with another program on one of its command topics."""
    intruder = Node("gello", context=ros_context)
    intruder.create_publisher(JointState, ROBOT.arms[1].command.topic, COMMAND)
    with opened(ros_context, ROBOT, tmp_path, intruder) as (double, executor), living(executor):
        yield double


def test_it_sees_who_speaks_who_listens_and_what_they_say(driver):
    head = ROBOT.cameras[0]
    wrong = replace(ROBOT, cameras=(replace(head, width=head.width + 2), *ROBOT.cameras[1:]))
    arm, topics = ROBOT.arms[0].state.topic, [camera.color for camera in ROBOT.cameras]
    seen, where, controllers = found(wrong, lambda seen, _: all(seen[name].count > 1 for name in (arm, *topics)))
    assert controllers == {}
    assert where.elsewhere == ()
    assert seen[arm].publishers == ("double",)
    assert seen[arm].size == "6 values"
    assert seen[arm].lag_s is None, "its stamps are empty"
    assert seen[arm].rate_hz > 0
    assert seen[ROBOT.arms[0].command.topic].subscribers == ("double",)
    assert seen[ROBOT.arms[1].command.topic].publishers == ("gello",)
    said = {finding.what: finding for finding in inspect(wrong, seen, where)}
    assert "end gello" in said[f"commands on {ROBOT.arms[1].command.topic}"].cure
    assert f"expected {head.width + 2}x{head.height}" in said["camera head"].cure
    assert said[f"commands on {ROBOT.arms[0].command.topic}"].ok


def test_a_controller_is_asked_what_it_moves_and_how(ros_context, robot):
    topic = "/left_arm_controller/joint_trajectory"
    arms = tuple(replace(a, command=replace(a.command, kind="joint_trajectory")) for a in robot.arms[:1])
    arms = (replace(arms[0], command=replace(arms[0].command, topic=topic)),)
    mine = replace(robot, arms=arms, simulated=False, domains=())
    controller = Node("left_arm_controller", context=ros_context)
    for name, value in (("joints", list(arms[0].joints)), ("command_interfaces", ["position"])):
        controller.declare_parameter(name, value)
    controller.create_publisher(JointState, arms[0].state.topic, 10)
    with alive(ros_context, controller):
        seen, where, controllers = found(mine, lambda _, controllers: bool(controllers.get(topic)))
    assert controllers[topic]["joints"] == list(arms[0].joints)
    said = {finding.what: finding for finding in inspect(mine, seen, where, controllers)}
    assert said["controller /left_arm_controller"].ok
    assert said["controller /left_arm_controller"].detail == "6 joints, position, splines"


def test_nobody_there_and_a_twin_are_said_in_one_sentence(capsys):
    assert cli.main(["doctor", "--robot", "ac_one_standard", "--listen", "0.1"]) == cli.FAILED
    assert "nobody speaks on any of its topics in ROS domain" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["doctor", "--robot", "sim_r1_lite"]) == cli.MISTAKE
    assert "is simulated and has no driver" in capsys.readouterr().err
