# SPDX-License-Identifier: Apache-2.0
"""A person takes over from the policy in the middle of a run, hands back, and the towel is folded all the same."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool

from tests.e2e.test_run import LIMIT_S, needs_graphics, start, summary
from tests.process_support import DOMAIN
from tests.ros_support import spinning, wait_until
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.ros.qos import EVENT, LATCHED
from wam_ros.ros.status import read_values

FROM_S, LONG_S = 1.5, 2.0


class Person(Node):
    """Looks at the judge's clock, and asks."""

    def __init__(self, context) -> None:
        super().__init__("person", context=context)
        self.elapsed_s, self.leaders = 0.0, []
        self._takeover = self.create_client(SetBool, "takeover")
        self.create_subscription(DiagnosticStatus, "sim/judge", self._on_judge, EVENT)
        self.create_subscription(String, "control/source", lambda msg: self.leaders.append(msg.data), LATCHED)

    def _on_judge(self, status) -> None:
        self.elapsed_s = float(read_values(status)["elapsed_s"])

    def asks(self, executor, wish: bool) -> str:
        wait_until(executor, self._takeover.service_is_ready)
        future = self._takeover.call_async(SetBool.Request(data=wish))
        wait_until(executor, future.done)
        return future.result().message


@contextmanager
def person_beside_the_run():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(DOMAIN))
    person = Person(context)
    with spinning(context, person) as executor:
        yield executor, person
    rclpy.try_shutdown(context=context)


@needs_graphics
def test_taken_over_in_the_middle_of_a_fold_and_handed_back_the_towel_is_folded_without_a_seam(tmp_path):
    out, root = tmp_path / "out", tmp_path / "set"
    words = ["--pace", "lockstep", "--teleop", "expert", "--record", str(root), "--set", "recorder.codec=h264"]
    with (
        start(out, *words) as process,
        person_beside_the_run() as (executor, person),
    ):
        wait_until(executor, lambda: person.elapsed_s >= FROM_S or process.poll() is not None)
        wait_until(executor, lambda: person.asks(executor, True) == "teleop leads")
        from_s = person.elapsed_s
        wait_until(executor, lambda: person.elapsed_s >= from_s + LONG_S)
        assert person.asks(executor, False) == "the policy leads"
        wait_until(executor, lambda: person.leaders == ["policy", "teleop", "policy"])
        said, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said + complained
    found = summary(out)
    assert found["success_rate"] == 1.0
    figures = {key: value for key, value in found.items() if key.startswith("motion__")}
    assert found["motion__seam_step_rad_max"] <= 1e-6, figures
    assert found["motion__seam_step_rad_s_max"] <= 1e-6, figures
    assert found["motion__ignored_policy"] >= 1, figures
    assert found["motion__takeovers"] == 1, figures
    (recording,) = DatasetReader(root)
    assert recording.described.success == "success"
    spans = [(who, len(list(rows))) for who, rows in groupby(recording.values("control_source").tolist())]
    assert [who for who, _ in spans] == ["policy", "teleop", "policy"], "an intervention is marked in each row"
    assert spans[1][1] == pytest.approx(LONG_S * 15, abs=8)
    assert recording.values("requested")[1:].all(), "what the policy would have done stands beside it"
