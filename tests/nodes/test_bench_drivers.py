# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from wam_ros.bench import drivers


def test_the_bench_counts_the_sets_that_came_through_and_their_age(monkeypatch):
    for name, value in dict(os.environ).items():
        monkeypatch.setenv(name, value)  # the bench sets the environment of its processes; put ours back
    monkeypatch.setattr(drivers, "HEIGHT", 48)
    monkeypatch.setattr(drivers, "WIDTH", 64)
    found = drivers.measure_pictures(drivers.fastest(), 2.5, 15)
    assert 0.5 < found["jpeg_sets_share"] <= 1  # of about 37
    assert 0 < found["jpeg_age_ms_p50"] <= found["jpeg_age_ms_p99"]
    assert found["jpeg_dropped"] == 0
    assert found["jpeg_cores"] > found["jpeg_cores_floor"] > 0
