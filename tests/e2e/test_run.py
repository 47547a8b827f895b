# SPDX-License-Identifier: Apache-2.0
"""``wam run`` as a user starts it: what it leaves behind when all goes well, and when it does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")

from tests.process_support import DOMAIN, processes_of
from wam_ros import cli
from wam_ros.files.load import to_data
from wam_ros.sim.graphics import choose_backend

needs_graphics = pytest.mark.skipif(choose_backend() == "disabled", reason="no OpenGL without a display")
REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 400


def start(out: Path, *arguments: str, stdin: int = subprocess.DEVNULL, **environment: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "wam_ros", "run", "towel_fold", "--headless", "--out", str(out), *arguments]
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=REPOSITORY, env=os.environ | {"ROS_DOMAIN_ID": DOMAIN} | environment, **pipes)


def run(out: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    with start(out, *arguments, **environment) as process:
        said, complained = process.communicate(timeout=LIMIT_S)
    assert "Traceback" not in said + complained
    return process.returncode, said, complained


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def said_until(process: subprocess.Popen[str], word: str) -> None:
    """Read what the run says until a line has that word."""
    while word not in (line := process.stdout.readline()):
        assert line, process.stderr.read()


@needs_graphics
def test_the_towel_is_folded_and_the_run_folder_says_so(tmp_path):
    out = tmp_path / "out"
    code, said, _ = run(out, "--pace", "lockstep")
    assert code == 0, said
    found = summary(out)
    assert found["complete"]
    assert found["success_rate"] == 1.0
    assert found["memory_mb_max"] < 600
    assert {"report.html", "video.mp4"} <= {path.name for path in out.iterdir()}
    assert not processes_of(out)


@needs_graphics
def test_a_released_checkpoint_is_converted_checked_and_run_within_the_limits(tmp_path, capsys):
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.checkpoint_support import policy_of, released_files

    weights, statistics = released_files(tmp_path)
    made = [
        "--robot",
        "sim_r1_lite",
        "--policy",
        "hold",
        "--size",
        "tiny",
        "--target",
        "x0",
        "--stats",
        str(statistics),
    ]
    assert cli.main(["convert", str(weights), "--out", str(tmp_path / "checkpoint"), *made]) == 0
    assert cli.main(["check", "checkpoint", str(tmp_path / "checkpoint")]) == 0
    assert "fastwam main tiny" in capsys.readouterr().out
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump(to_data(policy_of(tmp_path / "checkpoint"))))
    out = tmp_path / "out"
    code, said, _ = run(out, "--policy", str(policy), "--pace", "lockstep", "--set", "task.timeout_s=3")
    assert code == 1, said  # random weights fold nothing
    found = summary(out)
    assert found["complete"]
    assert found["motion__accepted"] >= 4
    assert found["motion__seam_step_rad_max"] <= 1e-6
    assert found["motion__seam_step_rad_s_max"] <= 1e-6
    assert found["sim_robot__commands_refused"] == 0
    assert not [key for key in found if key.startswith("stops__")]


def test_without_opengl_it_says_what_to_install(tmp_path):
    code, _, complained = run(tmp_path / "out", MUJOCO_GL="disabled")
    assert code == 2
    assert complained.startswith("wam: node sim_robot ended with code 2: cameras need an OpenGL library")
    assert "apt-get install libegl1" in complained
    assert not summary(tmp_path / "out")["complete"]


@needs_graphics
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_every_process_and_claims_no_success(tmp_path, number):
    out = tmp_path / "out"
    with start(out, "--policy", "hold", "--pace", "lockstep") as process:
        said_until(process, "attempt 1 of 1")
        nodes = processes_of(out)
        process.send_signal(number)
        said, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, said + complained
    assert len(nodes) == 4
    assert not processes_of(out)
    assert "Traceback" not in said + complained
    assert not summary(out)["complete"]
    for log in (out / "nodes").glob("*.log"):
        assert "Traceback" not in log.read_text(), log.name


@needs_graphics
@pytest.mark.parametrize("victim", ["sim_robot", "policy", "motion", "safety"])
def test_a_killed_node_ends_the_run_and_is_named(tmp_path, victim):
    out = tmp_path / "out"
    with start(out, "--policy", "hold", "--pace", "lockstep") as process:
        said_until(process, "RUNNING")
        (pid,) = [pid for pid, words in processes_of(out).items() if words[words.index("node") + 1] == victim]
        os.kill(pid, signal.SIGKILL)
        _, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert f"wam: node {victim} was ended by SIGKILL" in complained
    assert not processes_of(out)
    assert not summary(out)["complete"]
