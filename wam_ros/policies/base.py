# SPDX-License-Identifier: Apache-2.0
"""The backend protocol: what a policy must offer, who calls it, on which thread, how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from wam_ros.core.imagination import Imagination
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, Chunk, JointState, Observation, Trajectory, View


@dataclass(frozen=True)
class Request:
    """Everything a backend may use for one inference.

    Attributes:
        observation: complete (every view fresh), stamped with its capture time.
        mosaic: (H, W, 3) uint8 RGB, the views stitched as the policy YAML declares.
        instruction: the sentence to follow.
        committed: what motion will execute from the observation on, resampled at the chunk's row
            times (first row at stamp + 1/rate); fewer rows than the horizon, or None at the start.
            Real-time chunking conditions on it.
        delay_s: how long after the observation the chunk is expected to take over.
    """

    observation: Observation
    mosaic: ByteImage
    instruction: str
    committed: Trajectory | None = None
    delay_s: float = 0.0


@runtime_checkable
class Backend(Protocol):
    """A policy behind the policy node.

    All methods are called by one worker thread, in this order: ``load`` once, ``warm_up`` once,
    then ``infer`` for each observation and ``reset`` between attempts, at last ``close``.
    A backend owns normalisation; the shell owns time, limits and stopping.
    """

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Read weights and check them against robot and task.

        Raises:
            ConfigError, BackendError: one sentence that names the remedy; the node stays unconfigured.
        """
        ...

    def example_request(self) -> Request:
        """Return a request of the shapes that ``infer`` will see; for warm-up and tests."""
        ...

    def warm_up(self) -> None:
        """Make the next ``infer`` as fast as every later one; may take minutes."""
        ...

    def infer(self, request: Request) -> Chunk:
        """Return a chunk in robot order, stamped with the observation's time.

        Must not change the request, and with the same seed and request returns the same chunk.

        Raises:
            BackendError: nothing is published, and a repeated failure stops the robot.
        """
        ...

    def reset(self) -> None:
        """Forget the attempt: the next observation starts a new one."""
        ...

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
        ...


@runtime_checkable
class Imaginative(Protocol):
    """A backend that can also show the future that its last chunk leads to.

    Attributes:
        imagining: set before each ``infer``: somebody wants to see. While it is False nothing is computed for it.
    """

    imagining: bool

    def imagine(self, cancelled: Callable[[], bool]) -> Imagination | None:
        """Go on from the last ``infer``, in the same thread, until done or ``cancelled`` answers True; then None."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A backend with figures of its own for the diagnostics of its node."""

    def figures(self) -> dict[str, float]:
        """Return what there is to know about the last ``infer``; may be asked from another thread."""
        ...


def example_request(policy: Policy, robot: Robot, task: Task) -> Request:
    """Return a request of the shapes this policy sees on this robot: noise pictures, the ready pose."""
    noise = np.random.default_rng(policy.seed)
    views = {
        camera.name: View(0, noise.integers(0, 256, (camera.height, camera.width, 3), np.uint8))
        for camera in robot.cameras
    }
    joints = JointState(0, robot.joint_names, robot.ready_position())
    mosaic = noise.integers(0, 256, (policy.mosaic.height, policy.mosaic.width, 3), np.uint8)
    return Request(Observation(0, views, joints), mosaic, task.instruction)
