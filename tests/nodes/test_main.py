# SPDX-License-Identifier: Apache-2.0
"""A node's process ends cleanly by a signal, and says one sentence for a user's mistake."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

PROGRAM = """
import gc
import sys
from rclpy.node import Node
from std_msgs.msg import String
from wam_ros.core.errors import ConfigError
from wam_ros.ros.main import run_node

class Busy(Node):
    def __init__(self):
        super().__init__("busy")
        if "refuse" in sys.argv:
            raise ConfigError("robot: expected a name, got nothing; give one")
        self.out = self.create_publisher(String, "out", 1)
        self.create_timer(0.002, self.tick)
        print("up", flush=True)

    def tick(self):
        if "fail" in sys.argv:
            raise ConfigError("task: expected a name, got nothing; give one")
        if "count" in sys.argv:
            raise ConfigError(f"under the collector's eye: {len(gc.get_objects())}")
        self.out.publish(String(data="x"))

    def destroy_node(self):
        self.out.publish(String(data="last word"))
        print("last word", flush=True)
        super().destroy_node()

sys.exit(run_node(Busy))
"""


def start(*arguments):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ.copy())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_busy_node_cleanly_after_its_last_word(number):
    process = start()
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out, err) == (0, "last word\n", "")


@pytest.mark.parametrize(("when", "message"), [("refuse", "robot: expected"), ("fail", "task: expected")])
def test_a_users_mistake_is_one_sentence_and_no_traceback(when, message):
    _, err = (process := start(when)).communicate(timeout=240)
    assert process.returncode == 2
    assert message in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


def test_the_garbage_collector_never_looks_through_what_a_node_began_with():
    _, err = (process := start("count")).communicate(timeout=240)
    assert process.returncode == 2
    assert int(err.split()[-1]) < 2000
