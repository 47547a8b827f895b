# SPDX-License-Identifier: Apache-2.0
"""A demonstrator: does a task by script, acting only through chunks like any policy.

It reads where things are from the simulator's truth, plans, and answers every observation with the rows of its plan that
follow the observation's time. So chunks of successive observations agree with each other. A plan begins when its first
chunk is expected to take over: what lies before is over by then. What to plan, and when a plan has ended, is known to a
script, one for each scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from wam_ros.core.errors import BackendError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import Chunk, FloatArray, Observation, nanoseconds, seconds
from wam_ros.policies.base import Request, example_request
from wam_ros.policies.fold import FoldScript
from wam_ros.policies.pack import PackScript
from wam_ros.policies.toolpath import JointPath

STRAYED = 0.35  # rad, or opening; far more than a servo lags behind: something held the robot back


class Plan(Protocol):
    """What a script plans; it keeps with the path what it must remember."""

    @property
    def path(self) -> JointPath:
        """What is to be done."""
        ...


class Script(Protocol):
    """What is known of one scene's task. Truth is the simulator's, packed; joints are (J,) in robot order."""

    def example(self) -> FloatArray:
        """Return the truth of a scene in which a plan can begin."""
        ...

    def begin(self, start: FloatArray, truth: FloatArray) -> Any:
        """Return the first plan of an attempt, or of what another one has left, from joints at which it will begin."""
        ...

    def can_take_over(self, position: FloatArray, truth: FloatArray) -> bool:
        """True where whoever leads the joints needs help, and it is not too late for it."""
        ...

    def ends(self, plan: Any, elapsed_s: float, position: FloatArray, truth: FloatArray) -> bool:
        """True when another plan is to follow: this one is done, or in vain."""
        ...

    def follow(self, plan: Any, start: FloatArray, truth: FloatArray) -> Any:
        """Return the plan after a plan."""
        ...


SCRIPTS: dict[str, Callable[[Robot, Task], Script]] = {"towel": FoldScript, "earphones": PackScript}


@dataclass(frozen=True)
class Course:
    """A plan under way.

    Attributes:
        plan: what is to be done.
        start_ns: time of its path's beginning.
        seen_ns: time of the newest observation; an older one belongs to a new attempt.
        late_s: how long it goes on in vain before that is noticed.
        ended_ns: time since when it is in vain; None: it is not.
    """

    plan: Plan
    start_ns: int
    seen_ns: int
    late_s: float = 0.0
    ended_ns: int | None = None


class Expert:
    """The scripts behind the policy node.

    Attributes:
        late_s: how long it goes on with an attempt's first plan in vain before it notices, at most to the plan's end.
            One that always notices at once shows nothing of what to do later.
    """

    late_s: float = 0.0

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Prepare the script of the task's scene.

        Raises:
            BackendError: nobody has written it, or the robot has not two arms.
        """
        self._policy, self._robot, self._task = policy, robot, task
        if task.scene not in SCRIPTS:
            raise BackendError(
                mismatch("expert: scene of the task", sorted(SCRIPTS), task.scene, "choose another task")
            )
        self._script = SCRIPTS[task.scene](robot, task)
        self._course: Course | None = None

    def example_request(self) -> Request:
        """Return a request in which a plan can begin."""
        request = example_request(self._policy, self._robot, self._task)
        return replace(request, observation=replace(request.observation, truth=self._script.example()))

    def warm_up(self) -> None:
        """Plan once, so that the libraries are loaded."""
        self.infer(self.example_request())
        self.reset()

    def infer(self, request: Request) -> Chunk:
        """Return the rows of the plan that follow the observation.

        Raises:
            BackendError: no truth in the observation, or something is out of reach.
        """
        seen = request.observation
        if seen.truth is None:
            raise BackendError("the expert reads the simulator's truth and the observation has none; run a simulator")
        self._course = self._follow(request, np.asarray(seen.truth))
        elapsed_s = seconds(seen.stamp_ns - self._course.start_ns)
        times_s = elapsed_s + np.arange(1, self._policy.horizon + 1) / self._policy.rate_hz
        rows = self._course.plan.path.at(times_s)
        return Chunk.at_rate(seen.stamp_ns, self._robot.joint_names, rows, self._policy.rate_hz)

    @property
    def plan(self) -> Plan | None:
        """What it is about to do; None before an attempt."""
        return None if self._course is None else self._course.plan

    @property
    def unaware(self) -> bool:
        """True while it goes on with a plan in vain: what it then intends is no example."""
        return self._course is not None and self._course.ended_ns is not None

    def can_take_over(self, seen: Observation) -> bool:
        """True where whoever leads needs help, and a plan can begin there."""
        return seen.truth is not None and self._script.can_take_over(seen.joints.position, np.asarray(seen.truth))

    def reset(self) -> None:
        """Forget the attempt."""
        self._course = None

    def close(self) -> None:
        """There is nothing to free."""

    def _follow(self, request: Request, truth: FloatArray) -> Course:
        """Return the course to go on with: a new plan, the present one, or the present one delayed."""
        now, seen = self._course, request.observation
        if now is None or seen.stamp_ns < now.seen_ns:
            plan = self._script.begin(_landing_position(request), truth)
            return Course(plan, _landing_ns(request), seen.stamp_ns, self.late_s)
        elapsed_s = seconds(seen.stamp_ns - now.start_ns)
        ended_ns = None
        if self._script.ends(now.plan, elapsed_s, seen.joints.position, truth):
            ended_ns = seen.stamp_ns if now.ended_ns is None else now.ended_ns
            if elapsed_s >= now.plan.path.times_s[-1] or seconds(seen.stamp_ns - ended_ns) >= now.late_s:
                plan = self._script.follow(now.plan, _landing_position(request), truth)
                return Course(plan, _landing_ns(request), seen.stamp_ns)
        return replace(now, start_ns=self._kept_pace(now, request), seen_ns=seen.stamp_ns, ended_ns=ended_ns)

    @staticmethod
    def _kept_pace(now: Course, request: Request) -> int:
        """Return the start of the path, later than before where the robot was held back, as before it was armed."""
        seen = request.observation
        path, elapsed_s = now.plan.path, seconds(seen.stamp_ns - now.start_ns)
        joints = seen.joints.position
        if np.abs(path.at(np.array([elapsed_s]))[0] - joints).max() < STRAYED:
            return now.start_ns
        return _landing_ns(request) - nanoseconds(path.nearest_s(joints, elapsed_s))


def _landing_ns(request: Request) -> int:
    """Time at which the chunk is expected to take over."""
    return request.observation.stamp_ns + nanoseconds(request.delay_s)


def _landing_position(request: Request) -> FloatArray:
    """(J,) where the robot will be at that time, as far as it is known."""
    committed = request.committed
    if committed is None:
        return request.observation.joints.position
    row = np.searchsorted(committed.times_ns, _landing_ns(request))
    return np.asarray(committed.positions[min(int(row), len(committed.times_ns) - 1)])
