# SPDX-License-Identifier: Apache-2.0
"""The runner plays real node processes: they come, they are watched, and none is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from time import monotonic

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from tests.process_support import DOMAIN, alive, eventually
from wam_ros import runner as runner_module
from wam_ros.core.errors import ConfigError
from wam_ros.environment import additions
from wam_ros.graph import NodeSpec
from wam_ros.ros.presence import nodes_alive, require_free_domain
from wam_ros.runner import NodeEndedError, Runner

ROBOT = {"robot": "sim_r1_lite"}
SAFETY = NodeSpec("safety", "safety", ROBOT)
MOTION = NodeSpec("motion", "motion", {**ROBOT, "task": "towel_fold"})

KEEPER = """
import os, sys
from pathlib import Path
from threading import Event
from wam_ros.graph import NodeSpec
from wam_ros.runner import Runner
with Runner([NodeSpec("safety", "safety", {"robot": "sim_r1_lite"})], Path(sys.argv[1]), os.environ) as runner:
    print(runner.pids["safety"], flush=True)
    Event().wait()
"""


@pytest.fixture(autouse=True)
def own_domain(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", DOMAIN)


def environment() -> dict[str, str]:
    return os.environ | additions(os.environ, simulated=True)


def up(*names: str) -> Callable[[], bool]:
    return lambda: set(nodes_alive(names, patience_s=5.0)) == set(names)


def ended(runner: Runner) -> Callable[[], bool]:
    """The runner says that a node has ended."""

    def found() -> bool:
        try:
            runner.check()
        except NodeEndedError:
            return True
        return False

    return found


def test_nodes_come_up_with_their_parameters_and_end_cleanly(tmp_path):
    with Runner([SAFETY, MOTION], tmp_path, environment()) as runner:
        eventually(up("safety", "motion"))
        runner.check()
        pids = runner.pids
    assert not any(map(alive, pids.values()))
    assert runner.exit_codes == {"safety": 0, "motion": 0}
    assert all(20 < runner.peak_memory_mb[name] < 600 for name in pids)
    assert "robot: sim_r1_lite" in (tmp_path / "nodes" / "motion.yaml").read_text()
    assert "Traceback" not in (tmp_path / "nodes" / "motion.log").read_text()


def test_a_node_that_dies_is_named_and_takes_the_others_with_it(tmp_path):
    with Runner([SAFETY, MOTION], tmp_path, environment()) as runner:
        eventually(up("safety", "motion"))
        os.kill(runner.pids["safety"], signal.SIGKILL)
        eventually(ended(runner))
    assert str(runner.lost).startswith("node safety was ended by SIGKILL")
    assert not any(map(alive, runner.pids.values()))


def test_a_killed_node_leaves_no_shared_memory(tmp_path):
    with Runner([SAFETY], tmp_path, environment()) as runner:
        eventually(up("safety"))
        runner.sample()
        held = [path for path in runner.segments if path.exists()]
        os.kill(runner.pids["safety"], signal.SIGKILL)
        eventually(ended(runner))
        mine = [path for path in held if path.exists()]
        assert mine, "a killed process cannot clean up after itself"
    assert not [path for path in mine if path.exists()]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"robot": "nobody"}, "robots: expected one of"),
        ({**ROBOT, "beat": 1.0}, "safety: parameter: expected"),
        ({**ROBOT, "lockstep_after": 3}, "safety: parameter lockstep_after: expected str, got 3"),
    ],
)
def test_a_node_that_was_told_something_wrong_passes_its_sentence_on(tmp_path, params, sentence):
    spec = NodeSpec("safety", "safety", params, required=False)
    with Runner([spec], tmp_path, environment()) as runner:
        eventually(ended(runner))
    assert runner.lost is not None
    assert runner.lost.exit_code == 2
    assert sentence in str(runner.lost)
    assert "Traceback" not in (tmp_path / "nodes" / "safety.log").read_text()


def test_a_node_at_the_side_may_die(tmp_path):
    side = NodeSpec("side", "motion", MOTION.params, required=False)
    with Runner([SAFETY, side], tmp_path, environment()) as runner:
        eventually(up("safety", "side"))
        os.kill(runner.pids["side"], signal.SIGKILL)
        eventually(lambda: not alive(runner.pids["side"]))
        runner.check()


def test_a_node_that_hears_nothing_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner_module, "ENDINGS", [(number, 0.5) for number, _ in runner_module.ENDINGS])
    with Runner([SAFETY], tmp_path, environment()) as runner:
        eventually(up("safety"))
        os.kill(runner.pids["safety"], signal.SIGSTOP)
    assert runner.exit_codes == {"safety": -signal.SIGKILL}


def test_nodes_hear_ctrl_c_even_if_the_shell_told_its_job_to_ignore_it(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Runner([SAFETY], tmp_path, environment()) as runner:
            eventually(up("safety"))
            begun_s = monotonic()
    finally:
        signal.signal(signal.SIGINT, before)
    assert runner.exit_codes == {"safety": 0}
    assert monotonic() - begun_s < runner_module.ENDINGS[0][1]


def test_a_node_does_not_outlive_a_killed_runner(tmp_path):
    words = [sys.executable, "-c", KEEPER, str(tmp_path)]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as keeper:
        node = int(keeper.stdout.readline())
        eventually(up("safety"))
        keeper.kill()
    eventually(lambda: not alive(node), 10.0)


def test_a_domain_with_our_nodes_in_it_is_refused(tmp_path):
    require_free_domain(["safety"])
    with Runner([SAFETY], tmp_path, environment()):
        refusals: list[ConfigError] = []

        def refused() -> bool:
            """A busy machine may not have shown the node in time."""
            try:
                require_free_domain(["motion", "safety"])
            except ConfigError as error:
                refusals.append(error)
            return bool(refusals)

        eventually(refused)
    assert re.match(r"ROS domain \d+: .*safety already runs there.*ROS_DOMAIN_ID", str(refusals[0]))


@pytest.mark.parametrize("text", ["300", "-1", "here"])
def test_a_domain_that_does_not_exist_is_refused(monkeypatch, text):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(ConfigError, match="ROS_DOMAIN_ID: expected 0 to 232"):
        nodes_alive(["safety"])
