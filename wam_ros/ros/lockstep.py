# SPDX-License-Identifier: Apache-2.0
"""The token ring of the pace ``lockstep``: simulated time advances when everybody has done his part (adr/0001).

A token is a ``sensor_msgs/TimeReference`` on ``lockstep/<place>``, latched, so that a place which is
discovered late still gets the one that is meant for it. ``header.stamp`` is the simulated time of the
tick, ``time_ref`` the stamp of the newest datum the next place must hold before it acts.

The root (the simulator) begins each round and gets it back; every other place is a :class:`Member`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import TimeReference

from wam_ros.core.errors import LockstepError
from wam_ros.ros.qos import LATCHED
from wam_ros.ros.timebase import steady_clock

# How often a waiting place looks again by itself; `check` when data have arrived makes it look at once.
LOOK_AGAIN_S = 0.05


@dataclass(frozen=True)
class Token:
    """The right to act at one tick.

    Attributes:
        time_ns: simulated time of the tick.
        needed_ns: stamp of the newest datum the holder must have before it acts; 0 if there is none.
    """

    time_ns: int
    needed_ns: int = 0


@dataclass(frozen=True)
class Patience:
    """How long, by the wall clock, a place waits before the ring has failed."""

    first_s: float = 60.0
    later_s: float = 20.0


class _Watch:
    """Runs ``look`` while something is awaited, and raises when that takes too long."""

    def __init__(self, node: Node, look: Callable[[], None], patience: Patience) -> None:
        self._look, self._patience = look, patience
        self._deadline_s, self._complaint, self._rounds = 0.0, "", 0
        # Simulated time stands still while the ring waits: only the steady clock can wake us.
        self._timer = node.create_timer(LOOK_AGAIN_S, self._on_timer, clock=steady_clock())
        self._timer.cancel()

    def start(self, complaint: str) -> None:
        """Wait from now on; ``complaint`` is what is said when it takes too long."""
        self._complaint = complaint
        self._deadline_s = monotonic() + (self._patience.later_s if self._rounds else self._patience.first_s)
        self._timer.reset()

    def stop(self) -> None:
        """What was awaited has come."""
        self._rounds += 1
        self._timer.cancel()

    def _on_timer(self) -> None:
        if self._timer.is_canceled():
            return
        self._look()
        if not self._timer.is_canceled() and monotonic() > self._deadline_s:
            self._timer.cancel()
            raise LockstepError(self._complaint)


class Member:
    """A place in the ring that acts once for each token it is handed.

    Args:
        node: the node whose executor calls back.
        name: this place; its tokens go out on ``lockstep/<name>``.
        after: the place whose tokens it takes.
        ready: asked with the token, again and again until it is true; may start work that takes time.
        act: does the tick's work, and returns the stamp of the newest datum the next place must hold (0: none).
        patience: how long ``ready`` may stay false.

    Raises:
        LockstepError: out of the executor's spin, when ``ready`` stays false for too long.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        after: str,
        *,
        ready: Callable[[Token], bool],
        act: Callable[[Token], int],
        patience: Patience | None = None,
    ) -> None:
        self._name, self._after, self._ready, self._act = name, after, ready, act
        self._held: Token | None = None
        self._acted_ns = -1
        self._out = _Outlet(node, name)
        self._watch = _Watch(node, self.check, patience or Patience())
        node.create_subscription(TimeReference, f"lockstep/{after}", self._on_token, LATCHED)

    def check(self) -> None:
        """Act now if the token is held and all is ready; call it when data have arrived."""
        token = self._held
        if token is None or not self._ready(token):
            return
        self._held, self._acted_ns = None, token.time_ns
        self._watch.stop()
        self._out.send(Token(token.time_ns, self._act(token)))

    def _on_token(self, message: TimeReference) -> None:
        token = _token(message)
        if token.time_ns <= self._acted_ns:
            return
        self._held = token
        self._watch.start(
            f"lockstep: {self._name} got the token of t={token.time_ns} ns from {self._after} and did not become ready; "
            f"expected its data up to {token.needed_ns} ns; look for the node that went silent before it"
        )
        self.check()


class Root:
    """The place that begins every round and moves time when the round has come back.

    Args:
        node, name, after, patience: as for :class:`Member`; ``after`` is the last place of the ring.
        ready: asked with the returned token, again and again until it is true.
        act: ends the round, and returns the token of the next one, or None to rest until :meth:`begin`.

    Raises:
        LockstepError: out of the executor's spin, when a round does not come back in time.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        after: str,
        *,
        ready: Callable[[Token], bool],
        act: Callable[[Token], Token | None],
        patience: Patience | None = None,
    ) -> None:
        self._name, self._after, self._ready, self._act = name, after, ready, act
        self._awaited_ns: int | None = None
        self._begun_s = 0.0
        self._held: Token | None = None
        self._out = _Outlet(node, name)
        self._watch = _Watch(node, self.check, patience or Patience())
        node.create_subscription(TimeReference, f"lockstep/{after}", self._on_token, LATCHED)

    @property
    def under_way(self) -> bool:
        """True while a round has begun and has not ended."""
        return self._awaited_ns is not None

    @property
    def waited_s(self) -> float:
        """How long the round under way has taken by the wall clock; 0 without one."""
        return monotonic() - self._begun_s if self.under_way else 0.0

    def begin(self, token: Token) -> None:
        """Send the token of a new round; its time must lie after that of every earlier one."""
        self._awaited_ns, self._held, self._begun_s = token.time_ns, None, monotonic()
        self._watch.start(
            f"lockstep: the token of t={token.time_ns} ns did not come back to {self._name}; expected it from "
            f"{self._after}, got nothing in time; look for the node of the ring that ended or waits"
        )
        self._out.send(token)

    def abandon(self) -> None:
        """Forget the round under way; its token is ignored should it come back."""
        if self.under_way:
            self._awaited_ns, self._held = None, None
            self._watch.stop()

    def check(self) -> None:
        """End the round if its token is back and all is ready; call it when data have arrived."""
        token = self._held
        if token is None or not self._ready(token):
            return
        self._awaited_ns, self._held = None, None
        self._watch.stop()
        following = self._act(token)
        if following is not None:
            self.begin(following)

    def _on_token(self, message: TimeReference) -> None:
        token = _token(message)
        if token.time_ns == self._awaited_ns:
            self._held = token
            self.check()


class _Outlet:
    """Publishes the tokens of one place."""

    def __init__(self, node: Node, name: str) -> None:
        self._name = name
        self._publisher = node.create_publisher(TimeReference, f"lockstep/{name}", LATCHED)

    def send(self, token: Token) -> None:
        """Publish the token."""
        message = TimeReference(source=self._name)
        message.header.stamp = Time(nanoseconds=token.time_ns).to_msg()
        message.time_ref = Time(nanoseconds=token.needed_ns).to_msg()
        self._publisher.publish(message)


def _token(message: TimeReference) -> Token:
    return Token(Time.from_msg(message.header.stamp).nanoseconds, Time.from_msg(message.time_ref).nanoseconds)
