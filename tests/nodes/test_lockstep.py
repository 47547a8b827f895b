# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.node import Node
from std_msgs.msg import Header

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import LockstepError
from wam_ros.ros.convert import ns_to_stamp, stamp_to_ns
from wam_ros.ros.lockstep import Member, Patience, Root, Token
from wam_ros.ros.pace import START_NS, Lockstep
from wam_ros.ros.qos import STATE

TICK_NS = 10_000_000
HASTY = Patience(first_s=0.3, later_s=0.2)


class Ring:
    """A root and two members in one context; records who acted when."""

    def __init__(self, context, rounds: int, patience: Patience | None = None) -> None:
        self.node = Node("ring", context=context)
        self.acts: list[tuple[str, int, int]] = []
        self.open, self.asked = True, 0
        self._last_ns = rounds * TICK_NS
        patience = patience or Patience()
        self.first = Member(
            self.node, "first", "root", ready=self._ready, act=self._acting("first", 7), patience=patience
        )
        self.second = Member(
            self.node, "second", "first", ready=lambda _: True, act=self._acting("second", 8), patience=patience
        )
        self.root = Root(self.node, "root", "second", ready=lambda _: True, act=self._end_round, patience=patience)

    def _ready(self, _token: Token) -> bool:
        self.asked += 1
        return self.open

    def _acting(self, name: str, needed_ns: int):
        def act(token: Token) -> int:
            self.acts.append((name, token.time_ns, token.needed_ns))
            return needed_ns

        return act

    def _end_round(self, token: Token) -> Token | None:
        self.acts.append(("root", token.time_ns, token.needed_ns))
        return Token(token.time_ns + TICK_NS, 6) if token.time_ns < self._last_ns else None


def test_everyone_acts_once_each_tick_in_the_order_of_the_ring(ros_context):
    ring = Ring(ros_context, rounds=5)
    with spinning(ros_context, ring.node) as executor:
        ring.root.begin(Token(TICK_NS, 6))
        wait_until(executor, lambda: len(ring.acts) == 15 and not ring.root.under_way)
    expected = [
        act
        for k in range(1, 6)
        for act in (("first", k * TICK_NS, 6), ("second", k * TICK_NS, 7), ("root", k * TICK_NS, 8))
    ]
    assert ring.acts == expected


def test_nobody_acts_while_one_member_is_not_ready(ros_context):
    ring = Ring(ros_context, rounds=1)
    ring.open = False
    with spinning(ros_context, ring.node) as executor:
        ring.root.begin(Token(TICK_NS))
        wait_until(executor, lambda: ring.asked > 3)
        assert ring.acts == []
        ring.open = True
        wait_until(executor, lambda: len(ring.acts) == 3)


def test_a_member_that_does_not_become_ready_is_a_named_failure(ros_context):
    ring = Ring(ros_context, rounds=1, patience=HASTY)
    ring.open = False
    with spinning(ros_context, ring.node) as executor:
        ring.root.begin(Token(TICK_NS, 6))
        ring.root.abandon()
        with pytest.raises(LockstepError, match="first got the token of t=10000000 ns from root"):
            wait_until(executor, lambda: False, timeout_s=5.0)


def test_a_round_that_does_not_come_back_is_a_named_failure(ros_context):
    node = Node("alone", context=ros_context)
    root = Root(node, "root", "nobody", ready=lambda _: True, act=lambda _: None, patience=HASTY)
    with spinning(ros_context, node) as executor:
        root.begin(Token(TICK_NS))
        with pytest.raises(LockstepError, match="expected it from nobody"):
            wait_until(executor, lambda: False, timeout_s=5.0)


def test_a_ring_at_rest_never_times_out(ros_context):
    ring = Ring(ros_context, rounds=1, patience=HASTY)
    with spinning(ros_context, ring.node) as executor:
        ring.root.begin(Token(TICK_NS))
        wait_until(executor, lambda: not ring.root.under_way)
        ticks = []
        ring.node.create_timer(0.1, lambda: ticks.append(0))
        wait_until(executor, lambda: len(ticks) > 5)


class Forgetful:
    """A simulator and a member that hears each sensor message only when it is said again, as if the first were lost."""

    def __init__(self, context) -> None:
        self.node = Node("forgetful", context=context)
        self.said: list[int] = []
        self.acted: list[int] = []
        self.member = Member(self.node, "member", "forgetful", ready=self._heard, act=self._act)
        self.pace = Lockstep(
            self.node,
            self._step,
            TICK_NS,
            after="member",
            heard_ns=lambda: self.pace.now_ns,
            playing=lambda: len(self.acted) < 2,
            repeat=lambda: self.said.append(self.pace.now_ns),
        )

    def _step(self, end_ns: int) -> int:
        return end_ns

    def _heard(self, token: Token) -> bool:
        return token.time_ns in self.said

    def _act(self, token: Token) -> int:
        self.acted.append(token.time_ns)
        return 0


def test_what_was_lost_on_the_way_is_said_again_while_the_ring_waits(ros_context):
    cell = Forgetful(ros_context)
    with spinning(ros_context, cell.node) as executor:
        cell.pace.play()
        wait_until(executor, lambda: len(cell.acted) == 2)
    assert cell.acted == [START_NS + TICK_NS, START_NS + 2 * TICK_NS]


def test_the_token_of_an_abandoned_round_is_ignored(ros_context):
    ring = Ring(ros_context, rounds=1)
    ring.open = False
    with spinning(ros_context, ring.node) as executor:
        ring.root.begin(Token(TICK_NS))
        wait_until(executor, lambda: ring.asked > 0)
        ring.root.abandon()
        ring.open = True
        wait_until(executor, lambda: len(ring.acts) == 2)
        assert [name for name, *_ in ring.acts] == ["first", "second"]
        ring.root.begin(Token(2 * TICK_NS))
        wait_until(executor, lambda: ("root", 2 * TICK_NS, 8) in ring.acts)
    assert not any(name == "root" and time_ns == TICK_NS for name, time_ns, _ in ring.acts)


def test_a_member_discovered_late_still_gets_its_token(ros_context):
    root_node, late = Node("early", context=ros_context), Node("late", context=ros_context)
    acted = []
    root = Root(root_node, "root", "member", ready=lambda _: True, act=lambda _: None)
    with spinning(ros_context, root_node, late) as executor:
        root.begin(Token(TICK_NS, 5))
        Member(late, "member", "root", ready=lambda _: True, act=lambda token: acted.append(token) or 0)
        wait_until(executor, lambda: not root.under_way)
    assert acted == [Token(TICK_NS, 5)]


def test_data_that_must_precede_the_act_have_always_arrived_before_it(ros_context):
    """The law the ring exists for: whatever overtakes what, a member acts on the datum its token names."""
    node = Node("overtaking", context=ros_context)
    newest, seen = [0], []
    publisher = node.create_publisher(Header, "datum", STATE)
    node.create_subscription(Header, "datum", lambda m: newest.__setitem__(0, stamp_to_ns(m.stamp)), STATE)

    def end_round(token: Token) -> Token | None:
        if token.time_ns == 50 * TICK_NS:
            return None
        following = token.time_ns + TICK_NS
        publisher.publish(Header(stamp=ns_to_stamp(following)))
        return Token(following, following)

    Member(
        node,
        "member",
        "root",
        ready=lambda t: newest[0] >= t.needed_ns,
        act=lambda t: seen.append((t.time_ns, newest[0])) or 0,
    )
    root = Root(node, "root", "member", ready=lambda _: True, act=end_round)
    with spinning(ros_context, node) as executor:
        wait_until(executor, lambda: publisher.get_subscription_count() == 1)
        root.begin(Token(TICK_NS))
        wait_until(executor, lambda: not root.under_way)
    assert seen == [(TICK_NS, 0), *((k * TICK_NS, k * TICK_NS) for k in range(2, 51))]
