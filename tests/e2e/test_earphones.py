# SPDX-License-Identifier: Apache-2.0
"""The second robot and its task through the real graph: ``wam run earphone_pack`` up to the first stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")

from tests.process_support import DOMAIN, processes_of
from wam_ros.sim.graphics import choose_backend

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 400


@pytest.mark.skipif(choose_backend() == "disabled", reason="no OpenGL without a display")
def test_the_box_is_grasped_through_the_drivers_topics_and_the_rest_is_not_claimed(tmp_path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "wam_ros", "run", "earphone_pack", "--pace", "lockstep", "--headless"]
    words += ["--out", str(out), "--set", "task.timeout_s=4"]
    done = subprocess.run(
        words,
        cwd=REPOSITORY,
        env=os.environ | {"ROS_DOMAIN_ID": DOMAIN},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1, done.stderr
    assert "0 of 1 attempts succeeded" in done.stdout
    assert yaml.safe_load((out / "config" / "task.yaml").read_text())["timeout_s"] == 4
    found = json.loads((out / "summary.json").read_text())
    assert found["complete"]
    assert (found["robot"], found["policy"]) == ("sim_ac_one", "expert")
    assert found["success_rate"] == 0.0
    assert found["progress_mean"] == 0.25
    assert found["sim_robot__commands_refused"] == 0.0
    assert not processes_of(out)
