# SPDX-License-Identifier: Apache-2.0
"""The motion node among real streams: what the arms are told."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from trajectory_msgs.msg import JointTrajectory

from tests.cell_support import ROBOT, TASK, Cell, cell, lonely_cell, make_motion
from wam_ros.ros.convert import trajectory_from_msg

__all__ = ["cell", "lonely_cell"]


def assert_continuous(cell: Cell) -> None:
    """No command faster than the joints' limits, over the time between their stamps."""
    limit = cell.robot.motion_limits()[0]
    assert (np.abs(cell.speeds()) <= limit * 1.001).all()
    assert np.isfinite([position for _, position in cell.sent]).all()


def test_unarmed_it_commands_nothing(cell):
    cell.until(lambda: cell.motion.get("state") == "DISARMED")
    cell.chunks.publish(cell.chunk())
    cell.until(lambda: cell.motion.get("refused_not_running") == "1")
    assert cell.sent == []
    assert cell.committed == []


def test_armed_it_holds_where_the_arms_are_and_follows_a_chunk_to_its_end(cell):
    start = cell.position.copy()
    cell.run(reach_rad=0.6)
    cell.until(lambda: abs(cell.position[0] - start[0]) > 0.55)
    cell.until_rest()
    assert np.allclose(cell.sent[0][1], start)
    assert_continuous(cell)
    assert cell.motion["accepted"] == "1"
    assert float(cell.motion["seam_step_rad_max"]) < 1e-6
    assert cell.state == "RUNNING"


def test_the_next_chunk_joins_without_a_seam(cell):
    cell.run(reach_rad=1.0)
    for reach in (0.8, -0.5, 0.3):
        accepted = int(cell.motion["accepted"])
        cell.chunks.publish(cell.chunk(reach))
        cell.until(lambda before=accepted: int(cell.motion["accepted"]) > before)
    assert_continuous(cell)
    assert float(cell.motion["seam_step_rad_max"]) < 1e-6
    assert float(cell.motion["seam_step_rad_s_max"]) < 1e-6


def test_what_is_committed_is_what_will_be_sent_and_ends_at_rest(cell):
    cell.run()
    cell.committed.clear()
    cell.until(lambda: len(cell.committed) >= 1)
    promised = trajectory_from_msg(cell.committed[0])
    count = len(cell.sent)
    cell.until(lambda: len(cell.sent) > count + 50)
    times = [stamp for stamp, _ in cell.sent[count + 10 : count + 50]]
    sent = np.array([position[0] for _, position in cell.sent[count + 10 : count + 50]])
    expected = np.interp(times, promised.times_ns, promised.positions[:, 0])
    assert np.abs(sent - expected).max() < 2e-3  # linear between rows 40 ms apart
    assert np.abs(promised.velocities[-1]).max() < 1e-9


def test_the_stop_service_slows_the_arms_down_to_rest_without_a_jump(cell):
    cell.run()
    cell.call("safety_stop")
    cell.until(lambda: cell.motion["phase"] == "silent")
    assert (cell.state, cell.cause) == ("STOPPED", "OPERATOR")
    assert_continuous(cell)
    speeds = np.abs(cell.speeds()[:, 0])
    braking = speeds[speeds.argmax() :]
    assert (np.diff(braking) < 0.01).all()
    moving = braking[braking > 1e-6]
    stamps = [stamp_ns for stamp_ns, _ in cell.sent][speeds.argmax() :]
    assert (stamps[len(moving)] - stamps[0]) / 1e9 < 0.4
    count = len(cell.sent)
    cell.call("safety_reset")
    assert len(cell.sent) == count


def test_a_policy_that_falls_silent_leaves_the_arms_at_rest_before_it_is_named(cell):
    cell.run(reach_rad=0.4)
    cell.off = {"policy"}
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "POLICY_SILENT"
    cell.until(lambda: cell.motion["phase"] == "silent")
    assert_continuous(cell)


def test_without_safety_the_arms_rest_and_motion_says_why(cell):
    cell.run()
    cell.runner.remove_node(cell.nodes[1])
    cell.until(lambda: cell.motion["cause"] == "SAFETY_SILENT")
    cell.until(lambda: cell.motion["phase"] == "silent")
    assert_continuous(cell)
    cell.runner.add_node(cell.nodes[1])
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause in {"SAFETY_SILENT", "MOTION_SILENT"}  # whichever it reads first when it wakes


def test_a_chunk_that_begins_far_away_is_approached_slowly_when_somebody_asks(cell):
    cell.arm()
    assert not cell.call("approach").success
    msg = cell.chunk(reach_rad=0.0)
    for point in msg.points:
        point.positions[0] += 0.8
    begins = msg.points[0].positions[0]
    cell.chunks.publish(msg)
    cell.until(lambda: cell.motion.get("refused_too_far") == "1")
    answer = cell.call("approach")
    assert answer.success, answer.message
    cell.until(lambda: abs(cell.position[0] - begins) < 1e-3)
    assert_continuous(cell)
    assert np.abs(cell.speeds()[:, 0]).max() < 0.3 * cell.robot.motion_limits()[0][0]


def renamed(msg: JointTrajectory) -> None:
    msg.joint_names[0] = "no_such_joint"


def missing(msg: JointTrajectory) -> None:
    msg.joint_names.pop()


def unsorted(msg: JointTrajectory) -> None:
    msg.points[3], msg.points[1] = msg.points[1], msg.points[3]


def not_a_number(msg: JointTrajectory) -> None:
    msg.points[5].positions[3] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (renamed, "refused_wrong_joints"),
        (missing, "refused_wrong_joints"),
        (unsorted, "refused_bad_times"),
        (not_a_number, "refused_not_finite"),
    ],
)
def test_a_malformed_chunk_is_refused_and_counted_and_the_motion_goes_on(cell, spoil, refusal):
    cell.run()
    msg = cell.chunk()
    spoil(msg)
    cell.chunks.publish(msg)
    cell.until(lambda: cell.motion.get(refusal) == "1")
    assert cell.motion["accepted"] == "1"
    assert cell.state == "RUNNING"
    assert_continuous(cell)


def test_a_motion_node_that_starts_in_the_middle_of_a_run_does_not_move(cell, ros_context):
    cell.run()
    cell.runner.remove_node(cell.nodes[0])
    born_ns = cell.now_ns
    cell.nodes.append(make_motion(ros_context))
    cell.runner.add_node(cell.nodes[-1])
    cell.until(lambda: cell.state == "STOPPED")
    assert cell.cause == "MOTION_RESTARTED"
    assert max(stamp_ns for stamp_ns, _ in cell.sent) <= born_ns


COMMAND_LINE = [
    *(sys.executable, "-c", "from wam_ros.nodes.motion import main; main()"),
    *("--ros-args", "-p", f"robot:={ROBOT}", "-p", f"task:={TASK}", "-p", "use_sim_time:=true"),
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_brings_the_arms_to_rest_first(lonely_cell, number):
    cell = lonely_cell
    with subprocess.Popen(COMMAND_LINE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            cell.run()
            process.send_signal(number)
            cell.until(lambda: process.poll() is not None)
            cell.until(lambda: cell.state == "STOPPED")
        finally:
            process.kill()
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "leaked" not in output
    assert cell.cause == "MOTION_SILENT"
    assert_continuous(cell)
    assert np.abs(cell.speeds()[-1]).max() < 0.05
