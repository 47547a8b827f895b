# SPDX-License-Identifier: Apache-2.0
"""``wam eval`` as a user starts it: two policies through the whole graph, and an operator who cannot tell them apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")

from tests.process_support import DOMAIN, processes_of
from wam_ros.sim.graphics import choose_backend

LIMIT_S = 400


@pytest.mark.skipif(choose_backend() == "disabled", reason="no OpenGL without a display")
def test_a_blind_comparison_of_one_pair_stays_open_and_tells_all_only_at_its_end(tmp_path):
    out = tmp_path / "out"
    words = ["--policy", "expert", "--against", "hold", "--episodes", "1", "--set", "task.timeout_s=1"]
    command = [sys.executable, "-m", "wam_ros", "eval", "towel_fold", *words, "--out", str(out)]
    environment = os.environ | {"ROS_DOMAIN_ID": DOMAIN}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    before, _, after = done.stdout.partition("no decision after 1 pairs")
    assert "policy 1" in before
    assert "policy 2" in before
    assert "expert" not in before + done.stderr
    assert "hold" not in before + done.stderr
    assert "A: expert: 0 of 1 succeeded" in after
    assert "no decision yet" in after
    data = json.loads((out / "eval.json").read_text())
    assert data["complete"]
    assert [(t["policy"], t["seed"], t["success"]) for t in data["trials"]] == [("A", 0, False), ("B", 0, False)]
    assert data["timeout_s"] == 1
    assert data["policies"]["A"]["policy_sha256"] != data["policies"]["B"]["policy_sha256"]
    assert {path.suffix for path in (out / "failures").iterdir()} == {".jpg"}
    assert not processes_of(out)
    # It ended before the second trial was written down: started again, it makes that one alone, under its old name.
    log = out / "trials.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1, done.stderr
    assert "going on; trials made before: 1" in done.stdout
    assert ("policy 1" in done.stdout) != ("policy 2" in done.stdout)
    assert json.loads((out / "eval.json").read_text())["trials"] == data["trials"]
