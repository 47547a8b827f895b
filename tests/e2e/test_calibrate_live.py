# SPDX-License-Identifier: Apache-2.0
"""A twin before a rendered board, through ROS: driven by motion from pose to pose, solved, verified, saved."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from rclpy.parameter import Parameter
from rich.console import Console

from tests.e2e.test_run import needs_graphics
from tests.ros_support import PATIENCE_S
from wam_ros.calibration_graph import CalibrationOptions, plan_calibration, prepared
from wam_ros.core.board import Board
from wam_ros.core.transforms import invert, log
from wam_ros.files.assets import load_robot
from wam_ros.files.calibration import load
from wam_ros.files.load import to_data
from wam_ros.kinematics.forward import Kinematics
from wam_ros.nodes.calibration import CalibrationNode
from wam_ros.nodes.motion import MotionNode
from wam_ros.nodes.safety import SafetyNode
from wam_ros.nodes.sim_robot import SimRobot
from wam_ros.nodes.wizard import lead_through
from wam_ros.ros.executor import LeanExecutor

PROGRAMS = {"sim_robot": SimRobot, "calibration": CalibrationNode, "motion": MotionNode, "safety": SafetyNode}
#: Squares so large, and markers so coarse, that small pictures suffice.
BOARD = Board(columns=9, rows=6, square_m=0.028, marker_m=0.021, dictionary="4x4_250")
#: Simulated arms tremble not, and what rests for long is only paid for.
QUICK = {"calibration": {"rest_s": 0.15}}


@contextmanager
def graph(plan):
    """The nodes of a plan in a thread of their own; yields them by name."""
    context = rclpy.Context()
    rclpy.init(context=context)
    executor, over, nodes = LeanExecutor(context=context), Event(), {}
    ready = Event()

    def live() -> None:  # MuJoCo draws in the thread that made the world
        for spec in plan.specs:
            params = {**spec.params, **QUICK.get(spec.name, {})}
            given = [Parameter(name, value=value) for name, value in params.items()]
            nodes[spec.name] = PROGRAMS[spec.target](context=context, parameter_overrides=given)
            executor.add_node(nodes[spec.name])
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


@pytest.fixture
def plan(tmp_path):
    """One wrist camera, at the full speed of the twin: so few and so short moves as suffice."""
    robot = load_robot("sim_r1_lite")
    kept = replace(robot, cameras=(robot.camera("left_wrist"),), leader_camera="left_wrist")
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(to_data(kept)))
    options = CalibrationOptions(
        robot=str(tmp_path / "robot.yaml"),
        board=BOARD,
        move="drive",
        poses=12,
        seed=3,
        speed_share=1.0,
        out=str(tmp_path / "cell.yaml"),
        pace="lockstep",
    )
    return plan_calibration(prepared(options, 480, tmp_path / "config"))


@needs_graphics
def test_a_twin_is_driven_through_motion_and_its_verified_file_is_right_within_its_own_bound(plan):
    told, out = io.StringIO(), Path(plan.options.out)
    with graph(plan) as nodes:
        console = Console(file=told, width=200)
        lead_through(plan.robot, "drive", console, check=lambda: None, by_keys=False)
        account = nodes["motion"]._stage.account()
    said = told.getvalue()
    assert f"saved {out}" in said
    assert "verified: " in said
    assert account["accepted"] > 50, "the arms were led by chunks, through motion"
    assert account["seam_step_rad_max"] <= 1e-6
    content = load(out, {"left_wrist": "simulated-left_wrist"})
    assert content.board == BOARD
    assert content.residuals.held_out >= 2
    kinematics, home = Kinematics(plan.robot), plan.robot.ready_position()
    for name, camera in content.cameras.items():
        placed = camera.placed
        truth = invert(kinematics.pose(home, placed.parent)) @ kinematics.pose(home, plan.robot.camera(name).frame)
        error = log(invert(truth) @ placed.matrix())
        covariance = np.reshape(placed.covariance, (6, 6))
        # 6 degrees of freedom; the twin draws without oversampling, so that corners err more than the noise says.
        assert error @ np.linalg.solve(covariance, error) < 45, name
        assert np.linalg.norm(error[:3]) < 0.005, name
