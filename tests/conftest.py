# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the simulated robot's description, and a private ROS context per test worker."""

from __future__ import annotations

import gc
import os
import pty
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from wam_ros.environment import DDS_PROFILE
from wam_ros.files.assets import find

# Each xdist worker gets its own domain, so that tests that run side by side never meet.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["ROS_DOMAIN_ID"] = str(int(os.environ.get("WAM_TEST_DOMAIN", "70")) + WORKER)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# The shipped profile: three pictures overrun the default shared memory, and what is lost is waited for in vain.
for variable in DDS_PROFILE:
    os.environ.setdefault(variable, str(find("config/fastdds.xml")))
# Wrong field types fail at assignment instead of late at publish.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples everywhere, and no deadline: a test may find a fault, never a busy machine.
settings.register_profile("wam", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wam")

from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_robot
from wam_ros.sim.graphics import choose_backend

# MuJoCo reads the choice when the first test imports it.
choose_backend()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of real processes on the wall clock a second try; the closing line counts them as rerun.

    They prove what the graph does when it gets processor time, which nobody promises on a shared machine.
    """
    for item in items:
        if {"nodes", "e2e"} & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """What all imports have made lives until the end: the collector need not look through it after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def robot() -> Robot:
    return load_robot("sim_r1_lite")


@pytest.fixture
def ros_context() -> Iterator[Any]:
    """An rclpy context of its own, shut down after the test; pass it to nodes as ``context=``."""
    rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)
    # What a failed test still holds would go on speaking in the domain of the next one.
    gc.collect()


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a person's terminal at which keys are pressed."""
    keys, line = pty.openpty()
    with os.fdopen(line) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys
    os.close(keys)
