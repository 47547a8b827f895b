# SPDX-License-Identifier: Apache-2.0
"""A run as the operator would record it, made of smooth motions and drawn pictures."""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, Trajectory, nanoseconds
from wam_ros.report.recording import Mark, Recording
from wam_ros.report.summary import Attempt, Run, Setup

STAGES = ("grasped", "lifted", "aligned", "released")


def drawn(time_s: float, shade: int) -> ByteImage:
    """A towel-like patch that moves over a table."""
    rows, columns = np.mgrid[0:240, 0:320]
    image = np.stack([120 + rows // 4, 100 + columns // 6, np.full_like(rows, 90 + shade)], axis=-1).astype(np.uint8)
    left = int(60 + 12 * time_s)
    image[80:170, left : left + 110] = (235, 225, 205)
    return image


def recorded(robot: Robot, end_s: float, start_ns: int = nanoseconds(5.0)) -> Recording:
    recording = Recording(robot.joint_names, robot.leader_camera, start_ns)
    count = len(robot.joint_names)
    phase = np.arange(count)

    def pose(time_s: float) -> np.ndarray:
        return 0.5 + 0.4 * np.sin(0.7 * time_s + phase)

    for tick in range(int(end_s * 100)):
        stamp_ns = start_ns + tick * 10_000_000
        recording.add_joints(stamp_ns, pose(tick / 100 - 0.03))
        if tick % 50 == 0:
            times = tuple(stamp_ns + i * 66_666_667 for i in range(32))
            rows = np.array([pose((t - start_ns) / 1e9) for t in times])
            recording.add_committed(Trajectory(robot.joint_names, times, rows, np.zeros_like(rows)))
            recording.latency_ms.append((tick / 100, 190 + 8 * np.sin(tick)))
    for index in range(int(end_s * 15)):
        for shade, camera in enumerate(robot.cameras):
            stamp_ns = start_ns + nanoseconds(index / 15 + 0.004 * shade * abs(np.sin(index)))
            if recording.wants(camera.name, stamp_ns):
                recording.add_picture(camera.name, stamp_ns, drawn(index / 15, 40 * shade))
    return recording


def attempt(robot: Robot, seed: int, reached: int, ending: str, end_s: float, stop_cause: str = "") -> Attempt:
    recording = recorded(robot, end_s)
    times = [end_s * (i + 1) / 4 for i in range(reached)]
    recording.marks.extend(Mark(t, STAGES[i]) for i, t in enumerate(times))
    stages = {name: times[i] if i < reached else None for i, name in enumerate(STAGES)}
    figures = {
        "motion__seam_step_rad_max": 0.0004,
        "motion__seam_step_rad_s_max": 0.011,
        "motion__idle_share": 0.02,
        "motion__jerk_rms_rad_s3": 6.0,
        "motion__tracking_lag_ms": 31.0,
        "motion__period_ms_p99": 11.2,
        "motion__accepted": 22.0,
        "motion__refused_stale": 1.0,
        "policy__inferences": 23.0,
        "policy__latency_ms_p50": 12.4,
        "policy__sets_per_s": 14.9,
    }
    return Attempt(seed, ending, reached / 4, stages, end_s, end_s * 1.1, recording, stop_cause, {}, figures)


def run(robot: Robot, endings: list[tuple[int, str, float, str]], complete: bool = True) -> Run:
    setup = Setup(
        "towel_fold", robot.name, "expert", "Fold the towel in half.", STAGES, 20.0, "lockstep", 0, len(endings), 0.19
    )
    attempts = [attempt(robot, seed, *ending) for seed, ending in enumerate(endings)]
    memory = {"sim_robot": 411.0, "policy": 183.5, "motion": 96.2, "safety": 88.0, "operator": 164.0}
    return Run(setup, attempts, complete, wall_s=31.4, memory_mb=memory)
