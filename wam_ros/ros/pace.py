# SPDX-License-Identifier: Apache-2.0
"""How the time of a simulated robot passes: by the wall clock, or when the graph is ready (docs/adr/0001).

A pace owns ``/clock`` and calls back once for each step of physics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMsg

from wam_ros.core.types import NS_PER_S, seconds
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.lockstep import Root, Token
from wam_ros.ros.qos import STATE
from wam_ros.ros.timebase import reader, steady_clock

# Simulated time of one round of the ring: the command period.
TICK_NS = 10_000_000
# Simulated time between two attempts: longer than any skew at which pictures are believed to show the same world,
# shorter than the gap between two ticks that motion and safety take for a stall.
LEAP_NS = 10 * TICK_NS
# Lockstep time begins here; 0 is what an unset stamp says.
START_NS = 10 * NS_PER_S
# A realtime twin that falls behind makes up for this much at once; the rest is lost, and its time runs slower.
CATCH_UP_STEPS = 4
# While time stands still its last words are repeated, for listeners that come late.
REPEAT_S = 0.1
# So are they when a round takes longer than this: pictures and joints are best effort, and one that was lost on a busy
# machine would never come. A slow model only hears them again.
STALLED_S = 1.0

Step = Callable[[int], int]


class Pace(Protocol):
    """The time of a simulated robot.

    Attributes:
        now_ns: time of the last step, as stamps say it.
        overruns: steps by which time stays behind the wall clock because the machine was too slow.
    """

    now_ns: int
    overruns: int

    def play(self) -> None:
        """From now on physics moves."""
        ...

    def leap(self) -> None:
        """A new attempt has begun: what was under way is forgotten, and the sensors speak anew."""
        ...

    def check(self) -> None:
        """A command has arrived."""
        ...


class Realtime:
    """Steps by the steady clock, on the numbers the wall clock had at the start; time never rests or leaps.

    Args:
        node: owner of the timer.
        step: makes a step that ends at the given time; its answer is not used.
        step_ns: length of a step.
        walls: time is the wall's and nobody is told it; a machine too slow leaves steps out.
    """

    def __init__(self, node: Node, step: Step, step_ns: int, *, walls: bool = False) -> None:
        self.overruns = 0
        self._step, self._step_ns = step, step_ns
        self._steady_ns = reader(steady_clock())
        self._origin_ns = reader(Clock(clock_type=ClockType.SYSTEM_TIME))() - self._steady_ns()
        self.now_ns = self._due_ns()
        self._walls = walls
        self._tell_time = _silent if walls else _clock_of(node)
        node.create_timer(seconds(step_ns), self._on_timer, clock=steady_clock())

    def play(self) -> None:
        """Nothing to do: time passes already."""

    def leap(self) -> None:
        """Nothing to do: the next step is near."""

    def check(self) -> None:
        """Nothing to do: nobody waits for commands."""

    def _due_ns(self) -> int:
        return self._steady_ns() + self._origin_ns

    def _on_timer(self) -> None:
        due = (self._due_ns() - self.now_ns) // self._step_ns
        late = max(0, due - CATCH_UP_STEPS)
        self.overruns += late
        # A machine too slow makes time slower: a leap would look like cameras that miss frames and arms that stall.
        if self._walls:
            self.now_ns += late * self._step_ns
        else:
            self._origin_ns -= late * self._step_ns
        for _ in range(due - late):
            self.now_ns += self._step_ns
            # Data before their time: nobody may find the sensors older than they are.
            self._step(self.now_ns)
            self._tell_time(self.now_ns)


class Lockstep:
    """Steps when the ring's token has come back and the commands it names are here.

    Args:
        node: the root of the ring.
        step: makes a step that ends at the given time; returns the stamp of the newest picture.
        step_ns: length of a step.
        after: the last place of the ring.
        heard_ns: stamp up to which all commands have been heard.
        playing: whether physics moves.
        repeat: says the last sensors again.
    """

    def __init__(
        self,
        node: Node,
        step: Step,
        step_ns: int,
        *,
        after: str,
        heard_ns: Callable[[], int],
        playing: Callable[[], bool],
        repeat: Callable[[], None],
    ) -> None:
        self.now_ns, self.overruns = START_NS, 0
        self._step, self._step_ns, self._playing, self._repeat = step, step_ns, playing, repeat
        self._tell_time = _clock_of(node)
        self._ring = Root(
            node,
            node.get_name(),
            after,
            ready=lambda token: heard_ns() >= token.needed_ns,
            act=lambda _: self._next_round() if playing() else None,
        )
        node.create_timer(REPEAT_S, self._on_repeat, clock=steady_clock())

    def play(self) -> None:
        """Begin the next round, unless one is under way."""
        if not self._ring.under_way:
            self._ring.begin(self._next_round())

    def leap(self) -> None:
        """Leave the round that is under way, and show the world as it now is a little later."""
        self._ring.abandon()
        self.now_ns += LEAP_NS
        self._tell_time(self.now_ns)
        self._step(self.now_ns)

    def check(self) -> None:
        """Go on if this was the command that was waited for."""
        self._ring.check()

    def _next_round(self) -> Token:
        start_ns, self.now_ns = self.now_ns, self.now_ns + TICK_NS
        self._tell_time(self.now_ns)
        for end_ns in range(start_ns + self._step_ns, self.now_ns + 1, self._step_ns):
            pictured_ns = self._step(end_ns)
        return Token(self.now_ns, pictured_ns)

    def _on_repeat(self) -> None:
        if not self._playing() or self._ring.waited_s > STALLED_S:
            self._tell_time(self.now_ns)
            self._repeat()


def _silent(_now_ns: int) -> None:
    """The wall's time is known to everybody."""


def _clock_of(node: Node) -> Callable[[int], None]:
    publisher = node.create_publisher(ClockMsg, "/clock", STATE)
    return lambda now_ns: publisher.publish(ClockMsg(clock=ns_to_stamp(now_ns)))
