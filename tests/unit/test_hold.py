# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.backend_conformance import BackendConformance
from wam_ros.core.types import Trajectory


class TestHold(BackendConformance):
    policy_name = "hold"

    def test_it_keeps_the_measured_pose_while_nothing_is_committed(self, warm):
        request = warm.example_request()
        assert (warm.infer(request).positions == request.observation.joints.position).all()

    def test_it_keeps_the_pose_where_the_committed_motion_ends(self, warm):
        request = warm.example_request()
        names = request.observation.joints.names
        ends = np.stack([np.full(len(names), 0.2), np.full(len(names), 0.3)])
        committed = Trajectory(names, (1, 2), ends, np.zeros_like(ends))
        assert (warm.infer(replace(request, committed=committed)).positions == 0.3).all()
