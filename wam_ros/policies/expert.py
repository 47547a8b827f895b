# SPDX-License-Identifier: Apache-2.0
"""A demonstrator: folds the towel by script, acting only through chunks like any policy.

It reads where the towel is from the simulator's truth, plans a whole fold, and answers every observation with
the rows of its plan that follow the observation's time. So chunks of successive observations agree with each other.
A plan begins when its first chunk is expected to take over: what lies before is over by then. It plans anew when the
towel has been moved, and when it has missed or lost it, as long as the towel lies flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wam_ros.core.errors import BackendError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.truth import TowelTruth
from wam_ros.core.types import Chunk, FloatArray, Observation, nanoseconds, seconds
from wam_ros.policies.base import Request, example_request
from wam_ros.policies.fold import FoldPlanner, JointPath, can_fold

MOVED_M = 0.01  # a corner farther from where it was aimed at may be missed
CLOSED = 0.1  # opening; a hand this near to what was intended has done it
STRAYED = 0.35  # rad, or opening; far more than a servo lags behind: something held the robot back
EXAMPLE_X_M, EXAMPLE_EDGE_M = 0.30, 0.30


@dataclass(frozen=True)
class Attempt:
    """A plan under way.

    Attributes:
        path: what is to be done.
        start_ns: time of the path's beginning.
        seen_ns: time of the newest observation; an older one belongs to a new attempt.
        edge_m: length of the towel's edges when flat.
        corners_m: (4, 3) where the towel's corners were when the path was planned.
    """

    path: JointPath
    start_ns: int
    seen_ns: int
    edge_m: float
    corners_m: FloatArray


class Expert:
    """The scripted fold behind the policy node."""

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Prepare the planner.

        Raises:
            BackendError: the robot has not two arms.
        """
        self._policy, self._robot, self._task = policy, robot, task
        self._planner = FoldPlanner(robot)
        self._grippers = np.flatnonzero(robot.gripper_mask)
        self._attempt: Attempt | None = None

    def example_request(self) -> Request:
        """Return a request with a flat towel in front of the robot."""
        request = example_request(self._policy, self._robot, self._task)
        far, half = EXAMPLE_X_M + EXAMPLE_EDGE_M / 2, EXAMPLE_EDGE_M / 2
        near = far - EXAMPLE_EDGE_M
        corners = np.array([[near, half, 0], [near, -half, 0], [far, half, 0], [far, -half, 0]])
        truth = TowelTruth(np.array([EXAMPLE_X_M, 0, 0]), corners, np.zeros(len(self._robot.arms)))
        return replace(request, observation=replace(request.observation, truth=truth.pack()))

    def warm_up(self) -> None:
        """Plan once, so that the libraries are loaded."""
        self.infer(self.example_request())
        self.reset()

    def infer(self, request: Request) -> Chunk:
        """Return the rows of the plan that follow the observation.

        Raises:
            BackendError: no truth in the observation, or a corner is out of reach.
        """
        seen = request.observation
        if seen.truth is None:
            raise BackendError("the expert reads the simulator's truth and the observation has none; run a simulator")
        truth = TowelTruth.unpack(seen.truth, len(self._robot.arms))
        self._attempt = self._follow(request, truth)
        elapsed_s = seconds(seen.stamp_ns - self._attempt.start_ns)
        times_s = elapsed_s + np.arange(1, self._policy.horizon + 1) / self._policy.rate_hz
        rows = self._attempt.path.at(times_s)
        return Chunk.at_rate(seen.stamp_ns, self._robot.joint_names, rows, self._policy.rate_hz)

    def reset(self) -> None:
        """Forget the attempt."""
        self._attempt = None

    def close(self) -> None:
        """There is nothing to free."""

    def _follow(self, request: Request, truth: TowelTruth) -> Attempt:
        """Return the attempt to go on with: a new one, the present one, or the present one delayed."""
        now, seen = self._attempt, request.observation
        if now is None or seen.stamp_ns < now.seen_ns:
            edge_m = float(np.linalg.norm(truth.corners_m[0] - truth.corners_m[1]))
            return self._begin(request, truth, edge_m)
        if self._in_vain(now, seen, truth) and can_fold(truth.corners_m, now.edge_m):
            return self._begin(request, truth, now.edge_m)
        return replace(now, start_ns=self._kept_pace(now, request), seen_ns=seen.stamp_ns)

    def _begin(self, request: Request, truth: TowelTruth, edge_m: float) -> Attempt:
        path = self._planner.plan(_landing_position(request), truth.corners_m)
        return Attempt(path, _landing_ns(request), request.observation.stamp_ns, edge_m, truth.corners_m)

    def _in_vain(self, now: Attempt, seen: Observation, truth: TowelTruth) -> bool:
        """True when going on folds nothing: the towel has moved, or the hands have closed and do not both hold it."""
        elapsed_s = seconds(seen.stamp_ns - now.start_ns)
        begun, _ = now.path.holding_s
        if elapsed_s <= begun:
            return bool(np.linalg.norm(truth.corners_m - now.corners_m, axis=1).max() > MOVED_M)
        late = np.abs(now.path.at(np.array([elapsed_s]))[0] - seen.joints.position)[self._grippers].max() > CLOSED
        return not late and not (truth.held > 0).all()

    @staticmethod
    def _kept_pace(now: Attempt, request: Request) -> int:
        """Return the start of the path, later than before where the robot was held back, as before it was armed."""
        seen = request.observation
        elapsed_s = seconds(seen.stamp_ns - now.start_ns)
        joints = seen.joints.position
        if np.abs(now.path.at(np.array([elapsed_s]))[0] - joints).max() < STRAYED:
            return now.start_ns
        return _landing_ns(request) - nanoseconds(now.path.nearest_s(joints, elapsed_s))


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
