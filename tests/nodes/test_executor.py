# SPDX-License-Identifier: Apache-2.0
"""The lean executor does what rclpy's own does."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import TimeoutException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger

from tests.ros_support import wait_until
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.qos import COMMAND, STATE
from wam_ros.ros.timebase import steady_clock


class OopsError(Exception):
    pass


@pytest.fixture
def node(ros_context):
    node = Node("lean", context=ros_context)
    yield node
    node.destroy_node()


@pytest.fixture
def executor(ros_context, node):
    executor = LeanExecutor(context=ros_context)
    executor.add_node(node)
    yield executor
    executor.shutdown()


def test_messages_arrive_in_order_and_none_twice(executor, node):
    heard = []
    node.create_subscription(String, "talk", lambda m: heard.append(m.data), COMMAND)
    publisher = node.create_publisher(String, "talk", COMMAND)
    for i in range(200):
        publisher.publish(String(data=str(i)))
        wait_until(executor, lambda i=i: len(heard) > i - 5)
    wait_until(executor, lambda: len(heard) == 200)
    assert heard == [str(i) for i in range(200)]


def test_what_comes_while_it_runs_is_served_and_what_goes_is_not(executor, node):
    heard = []
    first = node.create_subscription(String, "talk", lambda m: heard.append(("first", m.data)), COMMAND)
    publisher = node.create_publisher(String, "talk", COMMAND)
    publisher.publish(String(data="a"))
    wait_until(executor, lambda: heard == [("first", "a")])
    node.create_subscription(String, "talk", lambda m: heard.append(("second", m.data)), COMMAND)
    wait_until(executor, lambda: publisher.get_subscription_count() == 2)
    assert node.destroy_subscription(first)
    publisher.publish(String(data="b"))
    wait_until(executor, lambda: ("second", "b") in heard)
    assert ("first", "b") not in heard


def test_a_subscription_destroyed_in_a_callback_is_harmless(executor, node):
    heard = []
    later = node.create_subscription(String, "later", heard.append, COMMAND)

    def on_first(_message) -> None:
        node.destroy_subscription(later)
        heard.append("first")

    node.create_subscription(String, "first", on_first, COMMAND)
    for topic in ("later", "first"):
        node.create_publisher(String, topic, COMMAND).publish(String())
    wait_until(executor, lambda: "first" in heard)
    assert not any(executor.spin_once(timeout_sec=0.01) for _ in range(5))


def test_services_answer_from_inside_and_outside_of_callbacks(executor, node):
    node.create_service(Trigger, "ask", lambda _, response: Trigger.Response(success=True, message="yes"))
    client = node.create_client(Trigger, "ask")
    wait_until(executor, client.service_is_ready)
    future = client.call_async(Trigger.Request())
    wait_until(executor, future.done)
    assert future.result().message == "yes"


def test_a_coroutine_may_wait_for_a_service(executor, node):
    node.create_service(Trigger, "ask", lambda _, response: Trigger.Response(success=True, message="yes"))
    client, answers = node.create_client(Trigger, "ask"), []

    async def on_timer() -> None:
        timer.cancel()
        answers.append(await client.call_async(Trigger.Request()))

    wait_until(executor, client.service_is_ready)
    timer = node.create_timer(0.01, on_timer, callback_group=ReentrantCallbackGroup())
    wait_until(executor, lambda: answers)
    assert answers[0].message == "yes"


def test_timers_keep_their_pace_and_cancelled_ones_are_silent(executor, node):
    ticks, cancelled = [], node.create_timer(0.01, lambda: ticks.append("cancelled"), clock=steady_clock())
    cancelled.cancel()
    begun_s = monotonic()
    node.create_timer(0.02, lambda: ticks.append(monotonic() - begun_s), clock=steady_clock())
    wait_until(executor, lambda: len(ticks) == 10)
    assert "cancelled" not in ticks
    assert ticks[-1] >= 0.19


def test_simulated_time_moves_timers_too(ros_context):
    node = Node("simulated", context=ros_context, parameter_overrides=[Parameter("use_sim_time", value=True)])
    executor, ticks = LeanExecutor(context=ros_context), []
    executor.add_node(node)
    clock = node.create_publisher(Clock, "/clock", STATE)
    node.create_timer(1.0, lambda: ticks.append(node.get_clock().now().nanoseconds))
    for second in range(1, 5):
        clock.publish(Clock(clock=ns_to_stamp(second * 10**9)))
        wait_until(executor, lambda second=second: node.get_clock().now().nanoseconds == second * 10**9)
    wait_until(executor, lambda: ticks)
    executor.shutdown()
    node.destroy_node()


def test_a_guard_condition_wakes_it_from_another_thread(executor, node):
    woken = []
    guard = node.create_guard_condition(lambda: woken.append(threading.current_thread()))
    threading.Timer(0.05, guard.trigger).start()
    wait_until(executor, lambda: woken)
    assert woken == [threading.current_thread()]


def test_a_task_from_another_thread_runs_here(executor):
    done = []
    threading.Timer(0.05, lambda: executor.create_task(lambda: done.append(threading.current_thread()))).start()
    wait_until(executor, lambda: done)
    assert done == [threading.current_thread()]


@pytest.mark.parametrize("kind", ["timer", "subscription", "service", "guard", "task"])
def test_what_a_callback_raises_comes_out_of_spinning(executor, node, kind):
    def fail(*_arguments) -> None:
        raise OopsError(kind)

    if kind == "timer":
        node.create_timer(0.01, fail)
    elif kind == "subscription":
        node.create_subscription(String, "talk", fail, COMMAND)
        node.create_publisher(String, "talk", COMMAND).publish(String())
    elif kind == "service":
        node.create_service(Trigger, "ask", fail)
        client = node.create_client(Trigger, "ask")
        wait_until(executor, client.service_is_ready)
        client.call_async(Trigger.Request())
    elif kind == "guard":
        node.create_guard_condition(fail).trigger()
    else:
        executor.create_task(fail)
    with pytest.raises(OopsError, match=kind):
        wait_until(executor, lambda: False, timeout_s=5)


def test_waiting_ends_in_time_when_nothing_comes(executor):
    while True:
        try:
            executor.wait_for_ready_callbacks(timeout_sec=0.0)
        except TimeoutException:
            break
    begun_s = monotonic()
    executor.spin_once(timeout_sec=0.1)
    assert 0.05 < monotonic() - begun_s < 1.0


def test_a_removed_node_is_left_alone(executor, node):
    ticks = []
    node.create_timer(0.01, lambda: ticks.append(0))
    wait_until(executor, lambda: ticks)
    executor.remove_node(node)
    count = len(ticks)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.02)
    assert len(ticks) == count
