# SPDX-License-Identifier: Apache-2.0
"""``wam eval`` as a user starts it: two policies through the whole graph, and an operator who cannot tell them apart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")

from tests.process_support import DOMAIN, processes_of
from wam_ros.sim.graphics import choose_backend

LIMIT_S = 400


def started(out: Path) -> subprocess.Popen[str]:
    words = ["--policy", "expert", "--against", "hold", "--episodes", "1", "--set", "task.timeout_s=1"]
    command = [sys.executable, "-m", "wam_ros", "eval", "towel_fold", *words, "--out", str(out)]
    environment = os.environ | {"ROS_DOMAIN_ID": DOMAIN}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def blind(said: str) -> set[str]:
    """Names under which policies were shown while nobody may know them."""
    assert "expert" not in said
    assert "hold" not in said
    return set(re.findall(r"policy \d", said))


@pytest.mark.skipif(choose_backend() == "disabled", reason="no OpenGL without a display")
def test_a_blind_comparison_that_is_interrupted_goes_on_and_tells_all_only_at_its_end(tmp_path):
    out, before = tmp_path / "out", ""
    with started(out) as process:
        while len(blind(before)) < 2:
            before += (line := process.stdout.readline())
            assert line, process.stderr.read()
        process.send_signal(signal.SIGINT)  # in the second trial
        paused, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, complained
    blind(paused + complained)
    assert "1 trials are kept. The same command goes on; with --episodes 1" in paused
    assert not list(out.glob("eval*")), "a report would say who is who"
    assert not processes_of(out)
    (made,) = [json.loads(line)["trial"] for line in (out / "trials.jsonl").read_text().splitlines()[1:]]
    with started(out) as process:
        said, more = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1, more
    assert "Traceback" not in said + complained + more
    assert not blind(complained + more)
    again, _, after = said.partition("no decision after 1 pairs")
    assert "going on; trials made before: 1" in again
    assert blind(again) == {re.findall(r"policy \d", before)[-1]}, "it makes the second trial alone, under its old name"
    assert "A: expert: 0 of 1 succeeded" in after
    assert "no decision yet" in after
    data = json.loads((out / "eval.json").read_text())
    assert data["complete"]
    assert [(t["policy"], t["seed"], t["success"]) for t in data["trials"]] == [("A", 0, False), ("B", 0, False)]
    assert made in data["trials"]
    assert data["timeout_s"] == 1
    assert data["policies"]["A"]["policy_sha256"] != data["policies"]["B"]["policy_sha256"]
    assert {path.suffix for path in (out / "failures").iterdir()} == {".jpg"}
    assert not processes_of(out)
