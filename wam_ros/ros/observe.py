# SPDX-License-Identifier: Apache-2.0
"""The robot's topics in, observations out: cameras and joints brought to one time (core/sync.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile

from wam_ros.core.joint_topics import JointTopic, feedback_topics
from wam_ros.core.robot import Camera, Robot
from wam_ros.core.sync import DEFAULT_DEADLINE_NS, SyncedSet, Synchroniser
from wam_ros.core.timeline import StreamSpec
from wam_ros.core.types import NS_PER_S, ByteImage, FloatArray, JointState, Observation, View, nanoseconds
from wam_ros.ros.inlets import Inlets, Tap
from wam_ros.ros.qos import SENSOR

#: Joint feedback is interpolated across holes of this length, or three periods, at most.
_JOINT_HOLE_NS = 50_000_000
_TRUTH = StreamSpec("truth", period_ns=10_000_000, max_skew_ns=20_000_000)


def _nothing(*_arguments: object) -> None:
    pass


class ObservationSource:
    """Subscribes to a robot and makes observations.

    Args:
        node: owner of the subscriptions; all callbacks run on its executor.
        robot: what to subscribe to.
        on_observation: called with each observation, stamps rising; not all need be complete.
        with_truth: also listen to the simulator's state, and make no observation without it.
        with_depth: also listen to depth, where a camera has it; an observation does not wait for it
            longer than the deadline and is made without it.
        cameras: names of the cameras wanted, all when None; the robot's leader leads if it is among
            them, else the first.
        on_picture: called with camera, capture time and picture of each colour frame that has not yet made
            an observation, for those who can use the time until it does.
        on_arrival: called after each message that was taken in, for those who wait for data.
        on_sample: called before that with the stream and its stamp [ns], for those who count.
        pictures: quality of service of the cameras.
        tap: is given the messages as they came.

    Raises:
        ConfigError: a camera the robot has not, or a kind of joint feedback that nobody speaks.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        *,
        on_observation: Callable[[Observation], None],
        with_truth: bool = False,
        with_depth: bool = False,
        cameras: Sequence[str] | None = None,
        on_picture: Callable[[str, int, ByteImage], None] = _nothing,
        on_arrival: Callable[[], None] = _nothing,
        on_sample: Callable[[str, int], None] = _nothing,
        pictures: QoSProfile = SENSOR,
        tap: Tap | None = None,
    ) -> None:
        self._node, self._robot, self._clock = node, robot, node.get_clock()
        self._simulated = bool(node.get_parameter("use_sim_time").value)
        self._on_observation, self._on_picture = on_observation, on_picture
        self._on_arrival, self._on_sample = on_arrival, on_sample
        self._cameras = robot.cameras if cameras is None else tuple(robot.camera(name) for name in cameras)
        self._names = {camera.name for camera in self._cameras}
        self._depths = tuple(c for c in self._cameras if with_depth and c.depth)
        self._topics = feedback_topics(robot)
        self._with_truth = with_truth
        self._sync = Synchroniser(self._streams(), self._leader())
        self._inlets = Inlets(node, robot, self._take, pictures, tap)
        self._open_inlets()
        self._timer = node.create_timer(DEFAULT_DEADLINE_NS / 2 / NS_PER_S, self._on_timer)

    # -- what the others may ask -----------------------------------------------------------

    @property
    def joints_stamp_ns(self) -> int:
        """Stamp of the joint stream that is farthest behind; 0 until all have spoken."""
        return min(self._newest_ns(_joints_key(topic)) for topic in self._topics)

    @property
    def images_stamp_ns(self) -> int:
        """Capture time of the camera that is farthest behind; 0 until all have spoken."""
        return min(self._newest_ns(camera.name) for camera in self._cameras)

    @property
    def truth_stamp_ns(self) -> int:
        """Stamp of the newest simulator state; 0 before the first, and without truth."""
        return self._newest_ns(_TRUTH.name) if self._with_truth else 0

    @property
    def scene_stamp_ns(self) -> int:
        """Stamp up to which everything but the joints has been taken in; 0 until all have spoken."""
        return min(self.images_stamp_ns, self.truth_stamp_ns) if self._with_truth else self.images_stamp_ns

    def holds(self, joints_ns: int, scene_ns: int) -> bool:
        """Whether joints and everything else have been taken in up to these stamps."""
        return self.joints_stamp_ns >= joints_ns and self.scene_stamp_ns >= scene_ns

    @property
    def truth_names(self) -> tuple[str, ...]:
        """Labels of the simulator's state; empty before the first."""
        return self._inlets.truth_names

    def image_stamp_ns(self, camera: str) -> int:
        """Return the capture time of a camera's newest frame that has been taken in; 0 before the first."""
        return self._newest_ns(camera)

    def latest_joints(self) -> JointState | None:
        """Return the newest positions, stamped as the stream farthest behind; None until all have spoken."""
        newest = [self._sync.newest(_joints_key(topic)) for topic in self._topics]
        if any(values is None for values in newest):
            return None
        return JointState(self.joints_stamp_ns, self._robot.joint_names, self._in_robot_order(newest))

    def statistics(self) -> dict[str, bool | int | float | str]:
        """Return figures for diagnostics; see :class:`wam_ros.core.sync.SyncStatistics`."""
        figures = self._sync.statistics(self._now_ns())
        return {
            "sets_per_s": figures.sets_per_s,
            "incomplete": figures.incomplete,
            "skew_ms_p50": figures.skew_ms_p50,
            "skew_ms_p99": figures.skew_ms_p99,
            "wait_ms_p99": figures.wait_ms_p99,
            "clock_jumps": figures.clock_jumps,
            "leader": figures.leader,
            "decodes_dropped": self._inlets.decodes_dropped,
            **{f"age_ms_{name}": age for name, age in figures.age_ms.items()},
            **{f"missing_{name}": count for name, count in figures.missing.items()},
            **{f"arrivals_{kind}": count for kind, count in figures.irregular.items()},
            **{f"refused_{name}": count for name, count in self._inlets.refused.items()},
        }

    def close(self) -> None:
        """Listen no more; call it before the node is destroyed."""
        self._node.destroy_timer(self._timer)
        self._inlets.close()

    # -- how it is put together ------------------------------------------------------------

    def _streams(self) -> list[StreamSpec]:
        streams = []
        for camera in self._cameras:
            period_ns, skew_ns = round(NS_PER_S / camera.rate_hz), nanoseconds(camera.max_skew_s)
            streams.append(StreamSpec(camera.name, period_ns, skew_ns, may_lead=True))
            if camera in self._depths:
                streams.append(StreamSpec(_depth_key(camera), period_ns, skew_ns, required=False))
        for topic in self._topics:
            period_ns = round(NS_PER_S / topic.stream.heard_hz)
            hole_ns = max(_JOINT_HOLE_NS, 3 * period_ns)
            streams.append(StreamSpec(_joints_key(topic), period_ns, hole_ns, match="interpolate"))
        return [*streams, _TRUTH] if self._with_truth else streams

    def _leader(self) -> str:
        names = [camera.name for camera in self._cameras]
        return self._robot.leader_camera if self._robot.leader_camera in names else names[0]

    def _open_inlets(self) -> None:
        for camera in self._cameras:
            self._inlets.add_color(camera, camera.name)
        for camera in self._depths:
            self._inlets.add_depth(camera, _depth_key(camera))
        for topic in self._topics:
            self._inlets.add_joints(topic, _joints_key(topic))
        if self._with_truth:
            self._inlets.add_truth(_TRUTH.name)

    # -- what comes in ---------------------------------------------------------------------

    def _take(self, key: str, stamp_ns: int, item: NDArray[Any]) -> None:
        now_ns = self._now_ns()
        if self._simulated:
            # /clock may come after the data of its time; nothing arrives before it was captured.
            now_ns = max(now_ns, stamp_ns)
        self._on_sample(key, stamp_ns)
        made = self._sync.add(key, stamp_ns, item, now_ns)
        self._hand_over(made)
        if not made and key in self._names:
            self._on_picture(key, stamp_ns, item)
        self._on_arrival()

    def _on_timer(self) -> None:
        now_ns = self._now_ns()
        if now_ns:  # simulated time has begun
            self._hand_over(self._sync.poll(now_ns))

    def _now_ns(self) -> int:
        return int(self._clock.now().nanoseconds)

    def _newest_ns(self, key: str) -> int:
        return self._sync.newest_ns(key) or 0

    # -- what is made of it ----------------------------------------------------------------

    def _hand_over(self, sets: Sequence[SyncedSet]) -> None:
        for synced in sets:
            self._on_observation(self._observation(synced))

    def _observation(self, synced: SyncedSet) -> Observation:
        found = synced.matches
        positions = self._in_robot_order([found[_joints_key(topic)].item for topic in self._topics])
        truth = found.get(_TRUTH.name)
        return Observation(
            stamp_ns=synced.stamp_ns,
            views={camera.name: self._view(camera, synced) for camera in self._cameras},
            joints=JointState(synced.stamp_ns, self._robot.joint_names, positions),
            truth=truth.item if truth is not None and truth.fresh else None,
        )

    def _view(self, camera: Camera, synced: SyncedSet) -> View:
        color, depth = synced.matches[camera.name], synced.matches.get(_depth_key(camera))
        half_period_ns = NS_PER_S / camera.rate_hz / 2
        same = depth is not None and abs(depth.stamp_ns - color.stamp_ns) < half_period_ns
        return View(
            stamp_ns=color.stamp_ns,
            color=color.item,
            depth_m=depth.item if depth is not None and same else None,
            skew_ns=color.skew_ns,
            fresh=color.fresh,
        )

    def _in_robot_order(self, parts: Sequence[FloatArray]) -> FloatArray:
        position = np.empty(len(self._robot.joint_names))
        for topic, values in zip(self._topics, parts, strict=True):
            position[topic.columns] = values
        return position


def _joints_key(topic: JointTopic) -> str:
    return f"joints/{topic.name}"


def _depth_key(camera: Camera) -> str:
    return f"{camera.name}/depth"
