# SPDX-License-Identifier: Apache-2.0
"""A recorded episode as live topics: the robot's own cameras and joints, with recorded stamps, and /clock.

It waits until somebody listens. In the pace ``realtime`` time passes as it did; in ``lockstep`` it is the root of the
ring and waits for those who take part (docs/adr/0001). When the episode is over, the node ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.types import NS_PER_S, seconds
from wam_ros.files.assets import load_robot
from wam_ros.files.dataset.playback import Sample, playback, require_same_robot
from wam_ros.files.dataset.read import DatasetReader, episode_of
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.lockstep import Root, Token
from wam_ros.ros.main import run_node
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.playback import Playback
from wam_ros.ros.qos import LATCHED, STATE
from wam_ros.ros.status import OK, StatusReporter, Value
from wam_ros.ros.timebase import reader, steady_clock

PACES = ("realtime", "lockstep")
TICK_NS = 10_000_000
# Who only looks at the leading camera is given this long to come to the rest.
PATIENCE_NS = 2 * NS_PER_S
# After the last sample, time goes on for those whose deadlines are still to pass.
LINGER_NS = NS_PER_S // 2


@dataclass(frozen=True, kw_only=True)
class ReplayParams:
    """Parameters of the replay."""

    robot: str = parameter(description="name or YAML path of the robot")
    dataset: str = parameter(description="folder of the dataset")
    episode: int = parameter(0, description="number of the episode", lower=0, upper=2**31 - 1)
    pace: str = parameter("realtime", description="realtime, or lockstep: time waits for the ring")
    lockstep_after: str = parameter("", description="last node of the ring, in the pace lockstep")

    def __post_init__(self) -> None:
        if self.pace not in PACES:
            raise ConfigError(mismatch("replay: pace", " or ".join(PACES), self.pace, "choose one"))
        if (self.pace == "lockstep") != bool(self.lockstep_after):
            expected = "the ring's last node in lockstep, nothing in realtime"
            remedy = f"correct it for pace {self.pace}"
            raise ConfigError(mismatch("replay: lockstep_after", expected, repr(self.lockstep_after), remedy))


class Replay(Node):
    """Ports of an episode."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("replay", **node_args)
        params = declare(self, ReplayParams)
        robot, root = load_robot(params.robot), Path(params.dataset)
        dataset = DatasetReader(root)
        require_same_robot(root, dataset.said, robot)
        recording = episode_of(dataset, root, params.episode)
        stamps = recording.values("stamp_ns")
        self._now_ns, self._last_ns = int(stamps[0]), int(stamps[-1])
        played = playback(recording, dataset.said, robot)
        self._samples, self._rounds_ns = played.samples, iter(played.rounds_ns)
        self._next: Sample | None = next(self._samples)
        self._steady_ns = reader(steady_clock())
        self._watched_ns = self._begun_ns = self._over_ns = 0
        self._playback = Playback(self, robot)
        self._clock_out = self.create_publisher(Clock, "/clock", STATE)
        self.create_publisher(String, "instruction", LATCHED).publish(String(data=recording.instructions[0]))
        self._ring = self._make_ring(params.lockstep_after) if params.lockstep_after else None
        self._told_ns = 0
        self._timer = self.create_timer(seconds(TICK_NS), self._on_tick, clock=steady_clock())
        self._reporter = StatusReporter(self, self._read)
        self.get_logger().info(f"episode {params.episode} waits for somebody who listens to the robot's topics")

    @property
    def over(self) -> bool:
        """True when the last sample has been said, and in lockstep answered."""
        return self._next is None and not (self._ring is not None and self._ring.under_way)

    def _make_ring(self, after: str) -> Root:
        return Root(self, self.get_name(), after, ready=lambda _: True, act=lambda _: self._round())

    def _on_tick(self) -> None:
        now_ns = self._steady_ns()
        if not self._begun_ns:
            self._tell_time()
            if self._is_heard(now_ns):
                self._begin(now_ns)
        elif self._over_ns:
            self._tell_time()
            if now_ns - self._over_ns > LINGER_NS:
                raise ExternalShutdownException  # as if somebody had ended this process: all has been said
        elif self._ring is None:
            self._advance(self._origin_ns + now_ns - self._begun_ns)
        if self.over and not self._over_ns:
            self._over_ns = now_ns

    def _is_heard(self, now_ns: int) -> bool:
        if not self._playback.watched:
            self._watched_ns = 0
            return False
        self._watched_ns = self._watched_ns or now_ns
        return self._playback.followed or now_ns - self._watched_ns > PATIENCE_NS

    def _begin(self, now_ns: int) -> None:
        self._playback.require_alone()
        self._begun_ns, self._origin_ns = now_ns, self._now_ns
        if self._ring is not None and (token := self._round()):
            self._ring.begin(token)

    def _round(self) -> Token | None:
        """Lockstep: say what is next until joints and pictures have gone on; None when all has been said."""
        for round_ns in self._rounds_ns:
            self._advance(round_ns)
            time_ns = self._playback.joints_stamp_ns
            if time_ns > self._told_ns and self._playback.pictures_stamp_ns:
                self._told_ns = time_ns
                return Token(time_ns, self._playback.pictures_stamp_ns)
        self._next = None
        return None

    def _advance(self, to_ns: int) -> None:
        while self._next is not None and self._next.stamp_ns <= to_ns:
            self._playback.publish(self._next)
            self._next = next(self._samples, None)
        self._now_ns = to_ns
        self._tell_time()

    def _tell_time(self) -> None:
        self._clock_out.publish(Clock(clock=ns_to_stamp(self._now_ns)))

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        state = "OVER" if self.over else "PLAYING" if self._begun_ns else "WAITING"
        return OK, state, {"state": state, "left_s": max(0.0, seconds(self._last_ns - self._now_ns))}


def play(given: Mapping[str, str | int]) -> int:
    """Replay with these parameters; return the exit code."""
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    return run_node(lambda: Replay(parameter_overrides=overrides), args=[])


def main() -> None:
    """Run the node."""
    sys.exit(run_node(Replay))
