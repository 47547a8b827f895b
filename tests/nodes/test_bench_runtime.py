# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from wam_ros.bench.runtime import measure


@pytest.fixture
def own_environment(monkeypatch):
    """The bench sets the environment of its processes; put ours back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_bench_counts_what_motion_accepted_and_leaves_the_models_time_out(own_environment):
    measured = measure(4.0, 0.5, compute=False)
    assert measured.inferences >= 2
    assert len(measured.overheads_ms) >= measured.inferences - 1
    # The model alone takes 500 ms of each chunk; what is left is the graph's, and once it was quick even on a busy
    # machine.
    assert 0 < measured.overheads_ms.min() < 450
    assert len(measured.periods_ms) > 50
    assert 0.3 < measured.model_share < 1.05  # of times read one after the other
