# SPDX-License-Identifier: Apache-2.0
"""Sees a graph from the side: what is there, what is missing, what the nodes say; keeps what a recording wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import ByteImage, FloatArray, Trajectory
from wam_ros.report.recording import FORESIGHT, Mark, Recording
from wam_ros.report.summary import is_counter

#: Numbers of diagnostics that say how things are now, and mean nothing in a summary.
PASSING = (FORESIGHT, "sees_chunk_stamp", "executing", "sequence", "attempt", "elapsed_s", "active", "age_ms")


@dataclass(frozen=True)
class Report:
    """What a node said last.

    Attributes:
        count: how many reports have come.
    """

    message: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    count: int = 0

    def numbers(self) -> dict[str, float]:
        """Return the values that are numbers."""
        found = {}
        for key, text in self.values.items():
            try:
                found[key] = float(text)
            except ValueError:
                continue
        return {key: value for key, value in found.items() if not key.startswith(PASSING) and np.isfinite(value)}


class Witness:
    """The sink of a side listener (``ros/listen.py``).

    Args:
        robot: what should be seen of it.
        now_ns: the robot's clock.

    Attributes:
        state, cause: of safety; empty until it has spoken.
        recording: gets what is seen, while there is one.
    """

    def __init__(self, robot: Robot, now_ns: Callable[[], int]) -> None:
        self.state, self.cause = "", ""
        self.recording: Recording | None = None
        self._robot = robot
        self._now_ns = now_ns
        self._cameras: set[str] = set()
        self._position = np.full(len(robot.joint_names), np.nan)
        self._reports: dict[str, Report] = {}
        self._before: dict[str, float] = {}

    # what is told

    def wants(self, camera: str, stamp_ns: int) -> bool:
        """Note a frame."""
        self._cameras.add(camera)
        return self.recording is not None and self.recording.wants(camera, stamp_ns)

    def on_picture(self, camera: str, stamp_ns: int, color: ByteImage) -> None:
        """Keep a picture."""
        if self.recording is not None:
            self.recording.add_picture(camera, stamp_ns, color)

    def on_joints(self, stamp_ns: int, position: FloatArray) -> None:
        """Keep positions."""
        self._position[:] = position
        if self.recording is not None:
            self.recording.add_joints(stamp_ns, position)

    def on_committed(self, trajectory: Trajectory) -> None:
        """Keep what is commanded."""
        if self.recording is not None:
            self.recording.add_committed(trajectory)

    def on_safety(self, state: str, cause: str) -> None:
        """Note the safety state."""
        changed = state != self.state
        self.state, self.cause = state, cause
        if changed and self.recording is not None:
            self.recording.states.append(Mark(self.recording.time_s(self._now_ns()), state))

    def on_status(self, node: str, message: str, values: dict[str, str]) -> None:
        """Note what a node says of itself."""
        before = self.report(node)
        self._reports[node] = Report(message, values, before.count + 1)
        latency_ms = values.get("latency_ms")
        if latency_ms and self.recording is not None and values.get("inferences") != before.values.get("inferences"):
            self.recording.latency_ms.append((self.recording.time_s(self._now_ns()), float(latency_ms)))
        if self.recording is not None and values.get("compared") != before.values.get("compared"):
            self.recording.add_foresight(self._now_ns(), values)

    # what is known

    def report(self, node: str) -> Report:
        """Return what a node said last; an empty report when it never spoke."""
        return self._reports.get(node, Report())

    def missing(self) -> list[str]:
        """Return a sentence for each camera and joint topic of which nothing has come."""
        cameras = [
            f"camera {camera.name} never sent an image on {' or '.join(camera.color_topics)}"
            for camera in self._robot.cameras
            if camera.name not in self._cameras
        ]
        joints = [
            f"joint feedback of {topic.name} never came on {topic.stream.topic}"
            for topic in feedback_topics(self._robot)
            if np.isnan(self._position[topic.columns]).any()
        ]
        return cameras + joints

    def begin(self, recording: Recording) -> None:
        """Record from now on, and count from now on."""
        recording.states.append(Mark(0.0, self.state))
        self.recording = recording
        self._before = self._numbers()

    def figures(self) -> dict[str, float]:
        """Return the nodes' figures, counters since :meth:`begin`."""
        return {key: value - self._counted_before(key) for key, value in self._numbers().items()}

    def _numbers(self) -> dict[str, float]:
        nodes = self._reports.items()
        return {f"{node}__{key}": value for node, report in nodes for key, value in report.numbers().items()}

    def _counted_before(self, key: str) -> float:
        return self._before.get(key, 0.0) if is_counter(key) else 0.0
