# SPDX-License-Identifier: Apache-2.0
"""The policy that moves nothing: no weights, no hardware; the default for trying everything else."""

from __future__ import annotations

import numpy as np

from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import Chunk
from wam_ros.policies.base import Request, example_request


class Hold:
    """Keep the pose: where the committed motion ends, else where the robot is measured to be.

    Holding the measured pose each time would creep, because a loaded joint hangs a little below its target.
    """

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Remember rate, horizon and shapes."""
        self._policy, self._robot, self._task = policy, robot, task

    def example_request(self) -> Request:
        """Return a request of the right shapes."""
        return example_request(self._policy, self._robot, self._task)

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def infer(self, request: Request) -> Chunk:
        """Return a chunk all of whose rows are the pose to keep."""
        joints, committed = request.observation.joints, request.committed
        pose = committed.positions[-1] if committed is not None and committed.times_ns else joints.position
        rows = np.tile(pose, (self._policy.horizon, 1))
        return Chunk.at_rate(request.observation.stamp_ns, joints.names, rows, self._policy.rate_hz)

    def reset(self) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""
