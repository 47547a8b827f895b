# SPDX-License-Identifier: Apache-2.0
"""The contract of a policy backend, as tests to inherit.

    class TestMyBackend(BackendConformance):
        policy_name = "my_policy"       # name or path of its YAML

A backend that needs more than that overrides ``make`` or ``request``.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from wam_ros.core.types import Chunk, Observation, View
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.policies.base import Backend, Request
from wam_ros.policies.registry import create_backend


class BackendConformance:
    """Inherit, and name the policy."""

    policy_name = "hold"
    robot_name = "sim_r1_lite"
    task_name = "towel_fold"

    def make(self) -> Backend:
        """A backend that is loaded and not yet warm."""
        policy, robot, task = load_policy(self.policy_name), load_robot(self.robot_name), load_task(self.task_name)
        backend = create_backend(policy.backend)
        backend.load(policy, robot, task)
        return backend

    def request(self, backend: Backend) -> Request:
        """A request that it can answer."""
        return backend.example_request()

    @pytest.fixture
    def warm(self):
        backend = self.make()
        backend.warm_up()
        yield backend
        backend.close()

    def test_a_chunk_has_the_policys_rows_and_the_robots_joints(self, warm):
        policy, robot = load_policy(self.policy_name), load_robot(self.robot_name)
        chunk = warm.infer(self.request(warm))
        assert isinstance(chunk, Chunk)
        assert chunk.names == robot.joint_names
        assert chunk.positions.shape == (policy.horizon, len(robot.joint_names))
        assert np.allclose(np.diff(chunk.offsets_ns), 1e9 / policy.rate_hz, atol=1)

    def test_a_chunk_is_finite_and_its_grippers_are_openings(self, warm):
        robot = load_robot(self.robot_name)
        positions = warm.infer(self.request(warm)).positions
        assert np.isfinite(positions).all()
        grippers = positions[:, np.array(robot.gripper_mask)]
        assert ((grippers >= -0.1) & (grippers <= 1.1)).all()

    def test_a_chunk_carries_the_stamp_of_its_observation(self, warm):
        request = self.request(warm)
        assert warm.infer(restamped(request, 123_456_789)).stamp_ns == 123_456_789

    def test_the_same_request_after_a_reset_gives_the_same_chunk(self, warm):
        request = self.request(warm)
        warm.reset()
        first = warm.infer(request)
        warm.reset()
        assert np.array_equal(first.positions, warm.infer(request).positions)

    def test_two_backends_with_one_seed_give_the_same_chunk(self, warm):
        request = self.request(warm)
        other = self.make()
        try:
            other.warm_up()
            warm.reset()
            other.reset()
            assert np.array_equal(warm.infer(request).positions, other.infer(request).positions)
        finally:
            other.close()

    def test_the_request_is_not_changed(self, warm):
        request = self.request(warm)
        before = contents(request)
        warm.infer(request)
        assert all(np.array_equal(a, b) for a, b in zip(before, contents(request), strict=True))

    def test_the_example_has_the_shapes_of_the_policy_and_the_robot(self, warm):
        policy, robot = load_policy(self.policy_name), load_robot(self.robot_name)
        request = warm.example_request()
        assert request.mosaic.shape == (policy.mosaic.height, policy.mosaic.width, 3)
        assert request.mosaic.dtype == np.uint8
        assert request.observation.joints.names == robot.joint_names
        assert request.observation.complete

    def test_closing_twice_is_harmless(self):
        backend = self.make()
        backend.close()
        backend.close()

    def test_no_thread_is_left_after_closing(self):
        before = set(threading.enumerate())
        backend = self.make()
        backend.warm_up()
        backend.infer(self.request(backend))
        backend.close()
        assert set(threading.enumerate()) <= before


def contents(request: Request) -> list[np.ndarray]:
    """Copies of every array a request holds."""
    observation, committed = request.observation, request.committed
    arrays = [request.mosaic, observation.joints.position, *(v.color for v in observation.views.values())]
    arrays += [v.depth_m for v in observation.views.values() if v.depth_m is not None]
    arrays += [] if observation.truth is None else [observation.truth]
    arrays += [] if committed is None else [committed.positions, committed.velocities]
    return [np.array(a) for a in arrays]


def restamped(request: Request, stamp_ns: int) -> Request:
    """The same request, captured at another time."""
    seen = request.observation
    views = {name: View(stamp_ns, v.color, v.depth_m) for name, v in seen.views.items()}
    joints = replace(seen.joints, stamp_ns=stamp_ns)
    return replace(request, observation=Observation(stamp_ns, views, joints, seen.truth))
