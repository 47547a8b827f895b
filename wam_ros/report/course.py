# SPDX-License-Identifier: Apache-2.0
"""The course of one attempt: which stage was reached when, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping

from wam_ros.core.robot import Robot
from wam_ros.core.safety import State
from wam_ros.core.task import Task
from wam_ros.core.verdict import Verdict
from wam_ros.report.recording import Mark, Recording
from wam_ros.report.summary import Attempt, Ending


class Course:
    """An attempt while it goes on.

    Args:
        number: of the attempt, from 1.
        seed: of its scene.
        task: its stages and time limit.
        robot: for the recording.
        start_ns: the robot's clock at its start.

    Attributes:
        time_s: since the start: the judge's clock where it has one, else the robot's.
        stages: stage name to the time at which it was first reached; None if it was not.
    """

    def __init__(self, number: int, seed: int, task: Task, robot: Robot, start_ns: int) -> None:
        self.number, self.seed = number, seed
        self.recording = Recording(robot.joint_names, robot.leader_camera, start_ns)
        self.time_s = 0.0
        self.stages: dict[str, float | None] = {stage.name: None for stage in task.stages}
        self.verdict = Verdict()
        self._timeout_s = task.timeout_s

    def advance(self, verdict: Verdict, robot_s: float) -> bool:
        """Take the newest verdict; False when time stood still."""
        before_s, self.verdict = self.time_s, verdict
        self.time_s = robot_s if verdict.elapsed_s is None else verdict.elapsed_s
        for name in self.stages:
            if name in verdict.stages and self.stages[name] is None:
                self.stages[name] = self.time_s
                self.recording.marks.append(Mark(self.time_s, name))
        return self.time_s > before_s

    def ending(self, safety_state: str) -> Ending | None:
        """Say what has ended the attempt, None while it goes on."""
        if self.verdict.success is not None:
            return "success" if self.verdict.success else "failed"
        if safety_state == State.STOPPED.value:
            return "stopped"
        return "timeout" if self.time_s >= self._timeout_s else None

    def attempt(self, ending: Ending, wall_s: float, stop_cause: str, figures: Mapping[str, float]) -> Attempt:
        """Return the attempt as it is to be written down."""
        return Attempt(
            seed=self.seed,
            ending=ending,
            progress=self.verdict.progress,
            stages=self.stages,
            duration_s=self.time_s,
            wall_s=wall_s,
            recording=self.recording,
            stop_cause=stop_cause,
            measures=self.verdict.measures,
            figures=figures,
        )
