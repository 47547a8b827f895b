# SPDX-License-Identifier: Apache-2.0
"""A policy asked what it would have done in recorded episodes, without ROS: the cheapest look for a mismatch of
training and deployment. Its requests are made as the policy node makes them, by the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wam_ros.core.episode import MISLED
from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.open_loop import OpenLoop, Place
from wam_ros.core.policy import Policy, check_policy_fits
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.stitch import stitch
from wam_ros.core.task import Task
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray, JointState, Observation, View, nanoseconds
from wam_ros.files.dataset.fits import require_robot, require_views
from wam_ros.files.dataset.read import DatasetReader, Recording, episode_of
from wam_ros.kinematics.forward import Kinematics
from wam_ros.policies.base import Backend, Request
from wam_ros.policies.registry import create_backend
from wam_ros.vision.resize import resize


@dataclass(frozen=True)
class Answer:
    """What came of the episodes.

    Attributes:
        policy: errors of the policy.
        hold: errors of keeping the pose, on the same rows.
    """

    policy: OpenLoop
    hold: OpenLoop


def ask(root: Path, episodes: Sequence[int], robot: Robot, task: Task, policy: Policy, stride: int = 0) -> Answer:
    """Ask a policy about recorded episodes.

    Args:
        root: of the dataset.
        episodes: their numbers; none: all that did not fail.
        robot, task, policy: as they would be deployed.
        stride: rows from one question to the next; 0: the rows that the policy executes.

    Raises:
        ConfigError: the policy does not fit robot or recordings.
        DatasetError: the dataset is of something else, or damaged, or has no such episode.
    """
    check_policy_fits(policy, robot)
    if policy.needs_truth:
        raise ConfigError(f"policy {policy.name} reads the simulator's truth, which no recording holds; choose another")
    reader = DatasetReader(root)
    remedy = "choose the dataset, robot or policy that fits"
    require_robot(root, reader.said, robot, remedy)
    require_views(root, reader.said, policy.rate_hz, (cell.camera for cell in policy.mosaic.cells), remedy)
    recordings = [episode_of(reader, root, number) for number in episodes] or _good(reader, root)
    backend = create_backend(policy.backend)
    backend.load(policy, robot, task)
    try:
        backend.warm_up()
        return _ask(backend, recordings, policy, robot, stride or policy.execute_rows)
    finally:
        backend.close()


def _good(reader: DatasetReader, root: Path) -> list[Recording]:
    found = [recording for recording in reader if recording.described.success != "failure"]
    if not found:
        raise DatasetError(mismatch(f"{root}: episodes that did not fail", "one or more", "none", "name some"))
    return found


def _ask(backend: Backend, recordings: Sequence[Recording], policy: Policy, robot: Robot, stride: int) -> Answer:
    parts = robot.joint_names, robot.gripper_mask, policy.horizon, tools_of(robot)
    answer = Answer(OpenLoop(*parts), OpenLoop(*parts))
    for recording in recordings:
        backend.reset()
        due_ns = (recording.values("stamp_ns") + nanoseconds(1 / policy.rate_hz)).tolist()
        for request in requests(recording, policy, robot, stride):
            seen = request.observation
            still = np.tile(seen.joints.position, (policy.horizon, 1))
            kept = Chunk.at_rate(seen.stamp_ns, robot.joint_names, still, policy.rate_hz)
            for table, chunk in ((answer.policy, backend.infer(request)), (answer.hold, kept)):
                table.add(chunk, due_ns, recording.actions)
    if not len(answer.policy):
        raise DatasetError(mismatch("recorded rows to ask about", "one or more", "none", "choose other episodes"))
    return answer


def tools_of(robot: Robot) -> dict[str, Place]:
    """Return arm to where its tool is in the robot's base frame, for joints in robot order [m]."""
    kinematics = Kinematics(robot)

    def place(arm: Arm, position: FloatArray) -> FloatArray:
        return kinematics.tool_pose(position, arm)[:3, 3]

    return {arm.name: partial(place, arm) for arm in robot.arms}


def requests(recording: Recording, policy: Policy, robot: Robot, stride: int) -> Iterator[Request]:
    """Yield the request of every so many rows; not of rows filled in, incomplete, or in which the robot was misled."""
    columns = {key: recording.values(key) for key in ("stamp_ns", "skew", "filled", "complete", "control_source")}
    good = columns["complete"] & ~columns["filled"] & (columns["control_source"] != MISLED)
    cameras, states, sentences = [c.camera for c in policy.mosaic.cells], recording.states, recording.instructions
    places = [recording.cameras.index(camera) for camera in cameras]
    skews_ns = np.rint(columns["skew"].astype(np.float64) * NS_PER_S).astype(np.int64)
    for row, pictures in enumerate(zip(*(recording.pictures(camera) for camera in cameras), strict=True)):
        if row % stride or not good[row]:
            continue
        stamp_ns, skew_ns = int(columns["stamp_ns"][row]), skews_ns[row]
        views = {
            camera: View(stamp_ns + int(skew_ns[place]), picture, skew_ns=int(skew_ns[place]))
            for camera, place, picture in zip(cameras, places, pictures, strict=True)
        }
        mosaic = stitch(policy.mosaic, {camera: view.color for camera, view in views.items()}, resize)
        joints = JointState(stamp_ns, robot.joint_names, states[row])
        yield Request(Observation(stamp_ns, views, joints), mosaic, sentences[row])
