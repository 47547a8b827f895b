# SPDX-License-Identifier: Apache-2.0
"""The policy node on real topics, with a backend that can be watched."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from tests.policy_support import Probe, Surroundings, probe_policy
from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.types import Trajectory
from wam_ros.files.assets import load_policy
from wam_ros.files.load import to_data
from wam_ros.nodes.policy import PolicyNode
from wam_ros.policies.worker import FAILURES_TO_DIE
from wam_ros.ros.convert import chunk_from_msg, ns_to_stamp, stamp_to_ns
from wam_ros.ros.lockstep import Member, Root, Token
from wam_ros.ros.qos import COMMAND, SENSOR, STATE
from wam_ros.ros.status import ERROR

FRAME_NS = round(1e9 / 15)
POLLS_TO_SAY_AGAIN = 100


def policy_node(context, policy: str, **params) -> PolicyNode:
    given = {"robot": "sim_r1_lite", "task": "towel_fold", "policy": policy, **params}
    return PolicyNode(context=context, parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])


class Rig:
    """The node, what stands around it, and simulated time, which passes with the frames."""

    def __init__(self, executor, node, around) -> None:
        self.node, self.around, self.executor = node, around, executor
        self.now_ns = 10**10
        self._clock = around.create_publisher(Clock, "/clock", COMMAND)

    @property
    def probe(self) -> Probe:
        return Probe.last

    def until(self, condition) -> None:
        wait_until(self.executor, condition)

    def arm(self, state: str = "ARMED") -> None:
        self.around.say_safety(state)
        self.until(lambda: self.around.values.get("state") == state)

    def pass_time(self, step_ns: int) -> None:
        """Let time pass, and wait until the node knows."""
        self.now_ns += step_ns
        self._clock.publish(Clock(clock=ns_to_stamp(self.now_ns)))
        self.until(lambda: self.node.get_clock().now().nanoseconds == self.now_ns)

    def see(self, without: str = "") -> int:
        """Send the next frame, and wait until the node has taken it in; return its stamp."""
        self.pass_time(FRAME_NS)
        stamp_ns = self.now_ns
        seen = [c.name for c in self.around.robot.cameras if c.name != without]
        source, polls = self.node._source, count(1)

        def seen_all() -> bool:
            # Best effort on a busy machine may lose one: say it again.
            if next(polls) % POLLS_TO_SAY_AGAIN == 0:
                self.around.say_sensors(stamp_ns, without)
            here = all(source.image_stamp_ns(name) >= stamp_ns for name in seen)
            return here and source.joints_stamp_ns >= stamp_ns

        self.around.say_sensors(stamp_ns, without)
        self.until(seen_all)
        return stamp_ns


@pytest.fixture
def make_rig(ros_context, robot, tmp_path):
    stack = []

    def make(changes: dict | None = None, **params) -> Rig:
        node = policy_node(ros_context, probe_policy(tmp_path, **(changes or {})), use_sim_time=True, **params)
        around = Surroundings(ros_context, robot)
        entered = spinning(ros_context, node, around)
        rig = Rig(entered.__enter__(), node, around)
        stack.append(entered)
        rig.until(lambda: around.connected and around.values.get("phase") == "READY")
        rig.until(lambda: rig._clock.get_subscription_count() == 1)
        return rig

    yield make
    for entered in stack:
        entered.__exit__(None, None, None)


@pytest.fixture
def rig(make_rig) -> Rig:
    return make_rig()


def test_it_starts_itself_and_says_so(rig):
    rig.until(lambda: rig.around.values.get("active") == "1")
    assert rig.around.values["state"] == "DISARMED"
    assert {
        "inferences",
        "chunks",
        "latency_ms_p50",
        "latency_ms_p95",
        "dropped",
        "sets_per_s",
        "skew_ms_p99",
        "incomplete",
    } <= set(rig.around.values)


def test_a_chunk_carries_the_capture_time_and_its_rows_the_policys_rate(rig, robot):
    rig.arm()
    stamp_ns = rig.see()
    rig.until(lambda: rig.around.chunks)
    chunk = chunk_from_msg(rig.around.chunks[0])
    assert chunk.stamp_ns == stamp_ns
    assert chunk.names == robot.joint_names
    assert chunk.offsets_ns == tuple(round((i + 1) * 1e9 / 15) for i in range(32))
    assert np.allclose(chunk.positions, robot.ready_position())


def test_nothing_is_inferred_while_disarmed_or_stopped(rig):
    for state in ("DISARMED", "STOPPED"):
        rig.arm(state)
        for _ in range(12):
            rig.see()
    assert rig.probe.requests == []
    assert rig.around.chunks == []


def test_an_observation_without_one_camera_is_not_inferred_from(rig, robot):
    rig.arm()
    rig.see()
    rig.until(lambda: len(rig.around.chunks) == 1)
    for _ in range(12):
        rig.see(without=robot.cameras[-1].name)
    assert len(rig.probe.requests) == 1


def test_the_next_inference_starts_a_stride_after_the_last(rig):
    rig.arm()
    stamps = []
    for number in range(20):
        stamps.append(rig.see())
        rig.until(lambda number=number: len(rig.around.chunks) == 1 + number // 8)
    assert [stamp_to_ns(c.header.stamp) for c in rig.around.chunks] == [stamps[0], stamps[8], stamps[16]]


def test_given_control_back_it_infers_from_the_next_frame_and_keeps_its_stride_from_there(rig):
    session = rig.node._session

    def led_by(who: str) -> None:
        rig.around.say_leader(who)
        rig.until(lambda: session.leader == who)

    rig.arm()
    led_by("policy")
    stamps = []
    for number in range(24):
        if number == 10:
            led_by("teleop")
        if number == 12:
            led_by("policy")
        stamps.append(rig.see())
        rig.until(lambda: session.cycle._seen_ns == stamps[-1] and session.worker.idle)
    begun = [stamps.index(request.observation.stamp_ns) for request in rig.probe.requests]
    assert begun == [0, 8, 12, 20]


def test_the_backend_sees_mosaic_instruction_and_joints(rig, robot):
    rig.arm()
    rig.around.say_instruction("Fold it twice.")
    rig.until(lambda: rig.node._session.instruction == "Fold it twice.")
    rig.see()
    rig.until(lambda: rig.around.chunks)
    request = rig.probe.requests[0]
    assert request.instruction == "Fold it twice."
    for cell in load_policy("hold").mosaic.cells:
        assert (
            request.mosaic[cell.top : cell.top + cell.height, cell.left : cell.left + cell.width] == len(cell.camera)
        ).all()
    assert np.allclose(request.observation.joints.position, robot.ready_position())
    rig.around.say_instruction("")
    rig.until(lambda: rig.node._session.instruction == "Fold the towel in half.")


def test_what_is_committed_reaches_the_backend_at_the_times_of_its_rows(rig, robot):
    rig.arm()
    start_ns = rig.now_ns
    names, rows = robot.joint_names, np.tile(np.arange(200)[:, None] / 100, (1, len(robot.joint_names)))
    times_ns = tuple(start_ns + k * 10_000_000 for k in range(200))
    rig.around.say_committed(Trajectory(names, times_ns, rows, np.ones_like(rows)))
    rig.until(lambda: rig.node._session.committed is not None)
    stamp_ns = rig.see()
    rig.until(lambda: rig.around.chunks)
    committed = rig.probe.requests[0].committed
    assert committed.times_ns[0] == stamp_ns + FRAME_NS
    expected = np.maximum(0, [(t - start_ns) / 1e9 for t in committed.times_ns])
    assert np.allclose(committed.positions[:, 0], expected, atol=1e-6)


def test_what_was_begun_before_a_disarm_is_thrown_away(rig):
    rig.arm()
    rig.probe.gate.clear()
    rig.see()
    rig.until(lambda: rig.probe.requests)
    rig.arm("DISARMED")
    rig.probe.gate.set()
    rig.arm("ARMED")
    for _ in range(2):
        rig.see()
    rig.until(lambda: rig.around.chunks)
    assert rig.probe.resets == 1
    assert stamp_to_ns(rig.around.chunks[0].header.stamp) > rig.probe.requests[0].observation.stamp_ns


def test_a_declared_latency_holds_a_chunk_back(make_rig):
    rig = make_rig(declared_latency_s=0.4)
    rig.arm()
    rig.see()
    rig.until(lambda: rig.node._session.worker.finished)
    for _ in range(39):
        rig.pass_time(10_000_000)
    assert rig.around.chunks == []
    rig.pass_time(10_000_000)
    rig.until(lambda: rig.around.chunks)
    assert rig.probe.requests[0].delay_s == pytest.approx(0.4)


def test_the_executor_never_waits_for_the_model(rig):
    rig.arm()
    rig.probe.gate.clear()
    rig.see()
    rig.until(lambda: rig.probe.requests)
    reports = len(rig.around.statuses)
    for _ in range(11):
        rig.see()
    rig.until(lambda: len(rig.around.statuses) > reports + 2)
    assert len(rig.probe.requests) == 1
    rig.probe.gate.set()
    rig.until(lambda: rig.around.chunks)
    while len(rig.probe.requests) < 2:
        rig.see()
    rig.until(lambda: int(rig.around.values["dropped"]) >= 2)


def test_a_backend_that_keeps_failing_is_an_error_on_diagnostics_and_sends_nothing(rig):
    rig.arm()
    rig.probe.failure = BackendError("the model has no opinion")
    for attempt in range(1, FAILURES_TO_DIE + 1):
        while len(rig.probe.requests) < attempt:
            rig.see()
        rig.until(lambda attempt=attempt: rig.node._session.worker.failures == attempt)
    rig.until(lambda: rig.around.statuses[-1].level == ERROR)
    assert rig.around.statuses[-1].message == "the model has no opinion"
    assert rig.around.values["state"] == "FAILED"
    assert rig.around.chunks == []


def test_the_mosaic_is_shown_only_to_those_who_look(rig):
    rig.arm()
    rig.see()
    rig.until(lambda: rig.around.chunks)
    shown = []
    rig.around.create_subscription(Image, "policy/mosaic", shown.append, SENSOR)
    rig.until(lambda: rig.node.count_subscribers("policy/mosaic") == 1)
    while not shown:
        rig.see()
    assert (shown[0].height, shown[0].width) == rig.probe.requests[-1].mosaic.shape[:2]


def test_without_autostart_it_waits_for_its_lifecycle_manager(ros_context, robot, tmp_path):
    node = policy_node(ros_context, probe_policy(tmp_path), autostart=False)
    around = Surroundings(ros_context, robot)
    client = around.create_client(ChangeState, "policy/change_state")

    def change(executor, transition: int) -> bool:
        wait_until(executor, client.service_is_ready)
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        wait_until(executor, future.done)
        return future.result().success

    with spinning(ros_context, node, around) as executor:
        wait_until(executor, lambda: around.values.get("state") == "UNCONFIGURED")
        assert change(executor, Transition.TRANSITION_CONFIGURE)
        wait_until(executor, lambda: around.values.get("phase") == "READY")
        assert around.values["active"] == "0"
        assert change(executor, Transition.TRANSITION_ACTIVATE)
        assert change(executor, Transition.TRANSITION_DEACTIVATE)
        assert change(executor, Transition.TRANSITION_CLEANUP)
        assert change(executor, Transition.TRANSITION_CONFIGURE)
        wait_until(executor, lambda: change(executor, Transition.TRANSITION_ACTIVATE))
        around.say_safety("ARMED")
        wait_until(executor, lambda: around.values.get("state") == "ARMED" and around.connected)

        def inferred() -> bool:
            around.say_sensors(node.get_clock().now().nanoseconds)
            return bool(around.chunks)

        wait_until(executor, inferred)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"backend": "no_such_backend"}, "no_such_backend"), ({"execute_rows": 99}, "execute_rows")],
)
def test_a_wrong_policy_is_one_sentence(ros_context, tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        policy_node(ros_context, probe_policy(tmp_path, **changes))


def test_a_demonstrator_is_refused_on_a_real_robot(ros_context, tmp_path, robot):
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump(to_data(replace(robot, simulated=False))))
    with pytest.raises(ConfigError, match="reads the simulator's truth"):
        policy_node(ros_context, probe_policy(tmp_path, needs_truth=True), robot=str(path))


def test_no_thread_is_left_when_the_node_is_gone(ros_context, robot, tmp_path):
    before = set(threading.enumerate())
    node = policy_node(ros_context, probe_policy(tmp_path))
    node.destroy_node()
    assert set(threading.enumerate()) <= before


def test_it_leaves_the_ros_graph_when_it_is_destroyed_not_when_garbage_is_collected(ros_context, tmp_path):
    onlooker = Node("onlooker", context=ros_context)
    own = rclpy.Context()
    rclpy.init(context=own)
    with spinning(ros_context, onlooker) as executor:
        gc.disable()
        try:
            node = policy_node(own, probe_policy(tmp_path))
            wait_until(executor, lambda: "policy" in onlooker.get_node_names())
            node.destroy_node()
            rclpy.try_shutdown(context=own)
            wait_until(executor, lambda: "policy" not in onlooker.get_node_names(), timeout_s=20.0)
        finally:
            gc.enable()


@pytest.mark.parametrize("declared_ms", [0, 90, 190, 800])
def test_in_lockstep_a_chunk_lands_exactly_when_its_declared_latency_has_passed(
    ros_context, robot, tmp_path, declared_ms
):
    """Whatever the machine does: the landing depends on the declared latency alone."""
    node = policy_node(
        ros_context,
        probe_policy(tmp_path),
        lockstep_after="clock",
        declared_latency_s=declared_ms / 1e3,
        use_sim_time=True,
    )
    around = Surroundings(ros_context, robot)
    clock = around.create_publisher(Clock, "/clock", STATE)
    landings: dict[int, int] = {}
    tick_ns, frame_ns, start_ns, rounds = 10_000_000, 70_000_000, 10**10, 100

    def sense(now_ns: int) -> Token:
        clock.publish(Clock(clock=ns_to_stamp(now_ns)))
        around.say_joints(now_ns)
        since_ns = (now_ns - start_ns) % frame_ns
        if since_ns == 0:
            around.say_pictures(now_ns)
        return Token(now_ns, now_ns - since_ns)

    def end_round(token: Token) -> Token | None:
        return sense(token.time_ns + tick_ns) if token.time_ns < start_ns + rounds * tick_ns else None

    def after_policy(token: Token) -> int:
        if token.needed_ns:
            landings.setdefault(token.needed_ns, token.time_ns)
        return 0

    Member(around, "witness", "policy", ready=lambda _: True, act=after_policy)
    root = Root(around, "clock", "witness", ready=lambda _: True, act=end_round)
    with spinning(ros_context, node, around) as executor:
        wait_until(executor, lambda: around.connected and around.values.get("active") == "1")
        around.say_safety("ARMED")
        wait_until(executor, lambda: around.values.get("state") == "ARMED")
        root.begin(sense(start_ns))
        wait_until(executor, lambda: not root.under_way)
    assert len(landings) >= 1
    assert {landed - captured for captured, landed in landings.items()} == {declared_ms * 1_000_000}
    assert sorted(landings) == sorted(stamp_to_ns(c.header.stamp) for c in around.chunks)
