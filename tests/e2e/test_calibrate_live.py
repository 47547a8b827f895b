# SPDX-License-Identifier: Apache-2.0
"""A twin before a rendered board, through ROS, led through by the wizard: driven by motion, moved by hand, by a leader arm."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rich.console import Console
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from tests.e2e.test_run import needs_graphics
from tests.hand_support import Hand
from tests.ros_support import PATIENCE_S
from wam_ros.calibration_graph import CalibrationOptions, CalibrationPlan, plan_calibration, prepared
from wam_ros.core.board import Board
from wam_ros.core.robot import Arm
from wam_ros.core.transforms import invert, log
from wam_ros.files.assets import load_robot
from wam_ros.files.calibration import load
from wam_ros.files.load import to_data
from wam_ros.graph import NodeSpec, close_ring
from wam_ros.kinematics.forward import Kinematics
from wam_ros.nodes.calibration import CalibrationNode
from wam_ros.nodes.motion import MotionNode
from wam_ros.nodes.safety import SafetyNode
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.nodes.teleop import TeleopNode
from wam_ros.nodes.wizard import lead_through
from wam_ros.ros.act import CommandSink
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.feedback import JointFeedback
from wam_ros.ros.qos import EVENT, STATE
from wam_ros.ros.status import find_status, read_values

PROGRAMS = {
    "sim_robot": SimRobot,
    "calibration": CalibrationNode,
    "motion": MotionNode,
    "safety": SafetyNode,
    "teleop": TeleopNode,
}
#: Squares so large, and markers so coarse, that small pictures suffice.
BOARD = Board(columns=9, rows=6, square_m=0.028, marker_m=0.021, dictionary="4x4_250")
#: Simulated arms tremble not, and what rests for long is only paid for.
QUICK = {"calibration": {"rest_s": 0.15}}
TICK_S, SPEED_RAD_S = 0.05, 2.5

pytestmark = needs_graphics


def nimble(arm: Arm) -> Arm:
    """An arm that is on its way for half the time."""
    limits = arm.limits
    higher = tuple(4 * value for value in limits.acceleration_rad_s2), tuple(16 * value for value in limits.jerk_rad_s3)
    return replace(arm, limits=replace(limits, acceleration_rad_s2=higher[0], jerk_rad_s3=higher[1]))


def planned(folder: Path, **options) -> CalibrationPlan:
    """One wrist camera, and as few and as short moves as suffice."""
    robot = load_robot("sim_r1_lite")
    kept = replace(robot, cameras=(robot.camera("left_wrist"),), leader_camera="left_wrist")
    kept = replace(kept, arms=tuple(map(nimble, robot.arms)))
    (folder / "robot.yaml").write_text(yaml.safe_dump(to_data(kept)))
    given = {"robot": str(folder / "robot.yaml"), "out": str(folder / "cell.yaml"), "board": BOARD, "seed": 9} | options
    return plan_calibration(prepared(CalibrationOptions(**given), 480, folder / "config"))


def in_lockstep(plan: CalibrationPlan) -> CalibrationPlan:
    """The same graph with time that waits for everybody: whatever a person does, he does it in the robot's time."""
    line = {spec.name: dict(spec.params) for spec in plan.specs if spec.name != "teleop"}
    line["sim_robot"]["pace"] = "lockstep"
    close_ring(line)
    beside = [spec for spec in plan.specs if spec.name == "teleop"]
    return replace(plan, specs=(*(NodeSpec(name, name, params) for name, params in line.items()), *beside))


@contextmanager
def graph(plan: CalibrationPlan, *others: Callable[..., Node]) -> Iterator[dict[str, Node]]:
    """The nodes of a plan, and others, in a thread of their own; yields them by name."""
    context = rclpy.Context()
    rclpy.init(context=context)
    executor, over, nodes = LeanExecutor(context=context), Event(), {}
    ready = Event()

    def live() -> None:  # MuJoCo draws in the thread that made the world
        for spec in plan.specs:
            params = {**spec.params, **QUICK.get(spec.name, {})}
            given = [Parameter(name, value=value) for name, value in params.items()]
            nodes[spec.name] = PROGRAMS[spec.target](context=context, parameter_overrides=given)
        nodes.update((node.get_name(), node) for node in [make(context, plan.robot) for make in others])
        for node in nodes.values():
            executor.add_node(node)
        ready.set()
        while not over.is_set():
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()
        for node in nodes.values():
            node.destroy_node()

    thread = Thread(target=live)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield nodes
    finally:
        over.set()
        thread.join()
        rclpy.try_shutdown(context=context)


class Person(Node, ABC):
    """Moves an arm where the calibration says, a little at each tick.

    Attributes:
        deeds: what he does, one thing after the other: yields what he waits for.
        status: of the calibration.
        goal: (J,) where he wants the arms.
    """

    def __init__(self, context, robot) -> None:
        super().__init__("person", context=context, parameter_overrides=[Parameter("use_sim_time", value=True)])
        self.status: dict[str, str] = {}
        self.goal, self._at, self._bounds = None, None, robot.bounds()
        self._hand, self._feedback = Hand(robot), JointFeedback(self, robot, lambda: 0)
        self._deeds, self._awaited = self.deeds(), lambda: True
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.create_timer(TICK_S, self._on_tick)

    def deeds(self) -> Iterator[Callable[[], object]]:
        yield lambda: self.status.get("advice")
        while True:
            yield from self.obey()

    def obey(self) -> Iterator[Callable[[], object]]:
        """Bring the tool where it is wanted, and wait for what is said of it."""
        told, self.goal = self.status["told"], self._hand.follow(self.status["advice"], self._feedback.position)
        yield lambda: self.status["told"] != told and self.status["advice"]

    @abstractmethod
    def put(self, position: np.ndarray) -> None:
        """Bring the arms to (J,) a position nearby."""

    def _on_tick(self) -> None:
        if self._at is None:
            if not np.isfinite(self._feedback.position).all():
                return
            self.goal = self._feedback.position.copy()
            self._at = self.goal.copy()
        if self._awaited():
            self._awaited = next(self._deeds)
        self._at += np.clip(self.goal - self._at, -SPEED_RAD_S * TICK_S, SPEED_RAD_S * TICK_S)
        self.put(np.clip(self._at, *self._bounds))  # a measured joint may lie a hair outside

    def _on_diagnostics(self, array) -> None:
        status = find_status(array, "wam/calibration")
        if status is not None:
            self.status = read_values(status)


class Guiding(Person):
    """His hand is on the arm itself, which gives way: targets that motion knows nothing of."""

    def __init__(self, context, robot) -> None:
        super().__init__(context, robot)
        self._sink = CommandSink(self, robot)

    def put(self, position: np.ndarray) -> None:
        self._sink.stream(position, self.get_clock().now().nanoseconds)


class Leading(Person):
    """He has a leader arm in his hands, and a terminal before him.

    Attributes:
        keyboard: of the terminal; ``said`` returns what stands on it.
    """

    keyboard = -1

    def __init__(self, context, robot, said: Callable[[], str]) -> None:
        super().__init__(context, robot)
        self.said, self._names = said, list(robot.joint_names)
        self._leader = self.create_publisher(JointState, "leader/joint_states", STATE)
        self._stop = self.create_client(Trigger, "safety_stop")

    def deeds(self) -> Iterator[Callable[[], object]]:
        yield lambda: "keys: " in self.said() and self.status.get("advice")
        yield from self.press("t", "teleop leads")
        yield from self.obey()
        yield from self.obey()
        self._stop.call_async(Trigger.Request())
        yield lambda: "safety has stopped the arms: OPERATOR" in self.said()
        yield from self.press("a", "ARMED")
        for _ in range(
            20
        ):  # until motion follows: where the leader is too far from the arms by then, it is not followed
            yield lambda: True
        yield from self.obey()
        yield from self.press("s", "expected at least 8 poses with the board in view, got 4; capture more\n")
        yield lambda: self.said().count("keys: ") == 2
        yield from self.press("t", "the policy leads")
        yield from self.press("q", "")
        yield lambda: False

    def press(self, key: str, answer: str) -> Iterator[Callable[[], object]]:
        while True:
            before = len(self.said())
            os.write(self.keyboard, key.encode())
            yield lambda before=before: any(
                w in self.said()[before:] for w in (answer, "refused", "not armed", "reset first")
            )
            if answer in self.said()[before:]:
                return

    def put(self, position: np.ndarray) -> None:
        self._leader.publish(JointState(name=self._names, position=position.tolist()))


def assert_right(plan: CalibrationPlan, said: str, held_out: int) -> None:
    """The file is saved, and true within its own bound."""
    out = Path(plan.options.out)
    assert f"saved {out}" in said
    assert "verified: " in said
    content = load(out, {"left_wrist": "simulated-left_wrist"})
    assert content.board == BOARD
    assert content.residuals.held_out >= held_out
    kinematics, home = Kinematics(plan.robot), plan.robot.ready_position()
    for name, camera in content.cameras.items():
        placed = camera.placed
        truth = invert(kinematics.pose(home, placed.parent)) @ kinematics.pose(home, plan.robot.camera(name).frame)
        error = log(invert(truth) @ placed.matrix())
        covariance = np.reshape(placed.covariance, (6, 6))
        # 6 degrees of freedom; the twin draws without oversampling, so that corners err more than the noise says.
        assert error @ np.linalg.solve(covariance, error) < 45, name
        assert np.linalg.norm(error[:3]) < 0.005, name


def test_a_person_who_guides_the_arm_as_he_is_told_has_a_verified_file_and_nothing_was_armed(tmp_path):
    plan, told = in_lockstep(planned(tmp_path, move="hand")), io.StringIO()
    with graph(plan, Guiding) as nodes:
        lead_through(plan.robot, "hand", Console(file=told, width=500), check=lambda: None, by_keys=False)
        assert nodes["safety"]._machine.sequence == 0
        assert nodes["motion"]._stage.account()["accepted"] == 0
    assert_right(plan, told.getvalue(), held_out=1)


def test_a_leader_arm_takes_over_and_neither_a_stop_nor_a_solution_too_early_costs_a_pose(tmp_path, keyboard):
    plan, told = in_lockstep(planned(tmp_path, move="teleop", teleop="leader")), io.StringIO()

    def leading(context, robot):
        return Leading(context, robot, told.getvalue)

    Leading.keyboard = keyboard
    with graph(plan, leading) as nodes, pytest.raises(KeyboardInterrupt):
        lead_through(plan.robot, "teleop", Console(file=told, width=500), check=lambda: None, by_keys=True)
    said = told.getvalue()
    assert nodes["calibration"]._conductor.survey.poses == 4, said
    assert nodes["motion"]._stage.account()["takeovers"] == 1
    assert nodes["motion"]._stage.account()["seam_step_rad_max"] <= 1e-6
    assert "nothing is saved" not in said
    assert not Path(plan.options.out).exists()


def test_a_twin_is_driven_through_motion_and_its_verified_file_is_right_within_its_own_bound(tmp_path):
    plan, told = planned(tmp_path, move="drive", poses=10, speed_share=1.0, pace="lockstep"), io.StringIO()
    with graph(plan) as nodes:
        lead_through(plan.robot, "drive", Console(file=told, width=500), check=lambda: None, by_keys=False)
        account = nodes["motion"]._stage.account()
    assert account["accepted"] > 50, "the arms were led by chunks, through motion"
    assert account["seam_step_rad_max"] <= 1e-6
    assert_right(plan, told.getvalue(), held_out=2)
