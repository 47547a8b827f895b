# SPDX-License-Identifier: Apache-2.0
"""The recorder: episodes of what the robot saw, felt and was told, as a dataset (docs/recording.md).

A process of its own. It takes no part in control: when its encoders or its disk are slow, it alone suffers,
and says by how much.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from wam_ros.core.episode import EpisodeLayout, layout_of, periods_ns
from wam_ros.core.errors import ConfigError, ShapeError, UnsafeCommandError, WamError, mismatch
from wam_ros.core.types import nanoseconds
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.session import RECORDING, Session
from wam_ros.files.dataset.video import AV1, H264, Codec, choose_color_codec
from wam_ros.ros.convert import chunk_from_msg, trajectory_from_msg
from wam_ros.ros.main import run_node
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.overhear import Overhearing
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import COMMAND, EVENT, LATCHED, STATE
from wam_ros.ros.requests import FAILURE, MARKS, SUCCESS
from wam_ros.ros.status import ERROR, OK, WARN, StatusReporter, Value
from wam_ros.ros.timebase import steady_clock

DEPTHS = ("none", "dataset", "archive", "both")
CODECS = ("auto", "av1", "h264")
_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True)
class RecorderParams:
    """Parameters of the recorder."""

    robot: str = parameter(description="name or YAML path of the robot")
    root: str = parameter(description="folder of the dataset; made when it does not exist")
    task: str = parameter("", description="name or YAML path of the task; its instruction until another is said")
    cameras: tuple[str, ...] = parameter((), description="those recorded; none: all of the robot's")
    depth: str = parameter("both", description="none; dataset (12 bits); archive (lossless); both")
    codec: str = parameter("auto", description="of a new dataset: av1, h264, or auto: what this machine can afford")
    preroll_s: float = parameter(0.0, description="episodes begin so long before", unit="s", lower=0, upper=10)
    archive_pictures: bool = parameter(False, description="also archive raw pictures as they come; large")

    def __post_init__(self) -> None:
        for name, given, allowed in (("depth", self.depth, DEPTHS), ("codec", self.codec, CODECS)):
            if given not in allowed:
                raise ConfigError(mismatch(f"recorder: {name}", " or ".join(allowed), given, "choose one"))


class RecorderNode(Node):
    """Ports of a recording session."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("recorder", **node_args)
        params = declare(self, RecorderParams)
        robot = load_robot(params.robot)
        cameras = params.cameras or None
        deep = params.depth in ("dataset", "both")
        layout = layout_of(robot, cameras, depth=deep, archive_depth=params.depth in ("archive", "both"))
        dataset = Dataset(Path(params.root), layout, robot, _color_codec(params.codec, layout))
        self._preroll_ns = nanoseconds(params.preroll_s)
        self._session = Session(dataset, robot, layout, periods_ns(robot, layout), self._preroll_ns)
        if self._session.news:
            self.get_logger().warning(f"after a crash: {self._session.news}")
        if params.task:
            self._session.rows.instruction = load_task(params.task).instruction
        self._around = Overhearing(self, robot, self._session.keep, pictures=params.archive_pictures)
        self._source = ObservationSource(
            self,
            robot,
            on_observation=self._session.observe,
            on_sample=self._session.sample,
            with_depth=params.depth != "none",
            cameras=cameras,
            pictures=STATE,
            tap=self._around,
        )
        self._said = ""
        self._listen()
        self._serve()
        self.create_timer(_LOOK_S, self._on_look, clock=steady_clock())
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Close the open episode, then end."""
        self._source.close()
        self._session.end()
        super().destroy_node()

    def _listen(self) -> None:
        self.create_subscription(JointTrajectory, "motion/committed", self._on_committed, COMMAND)
        self.create_subscription(JointTrajectory, "policy/chunk", self._on_chunk, COMMAND)
        self.create_subscription(String, "instruction", self._on_instruction, LATCHED)
        self.create_subscription(String, "control/source", self._on_control_source, LATCHED)
        self.create_subscription(String, MARKS, self._on_word, EVENT)

    def _serve(self) -> None:
        for name, act in (("start", self._start), ("stop", self._stop), ("discard", self._discard)):
            self.create_service(Trigger, f"record/{name}", partial(self._on_request, act))
        self.create_service(SetBool, "record/mark", self._on_mark)

    # -- what is heard ---------------------------------------------------------------------

    def _on_committed(self, msg: JointTrajectory) -> None:
        try:
            self._session.rows.on_committed(trajectory_from_msg(msg))
        except ShapeError as error:
            self._refuse("motion/committed", error)

    def _on_chunk(self, msg: JointTrajectory) -> None:
        try:
            self._session.rows.on_chunk(chunk_from_msg(msg))
        except (ShapeError, UnsafeCommandError) as error:
            self._refuse("policy/chunk", error)

    def _refuse(self, topic: str, error: WamError) -> None:
        self.get_logger().warning(f"{topic}: {error}", throttle_duration_sec=5.0)

    def _on_instruction(self, msg: String) -> None:
        self._session.rows.instruction = msg.data

    def _on_control_source(self, msg: String) -> None:
        self._session.rows.on_leader(msg.data, int(self.get_clock().now().nanoseconds))

    def _on_word(self, msg: String) -> None:
        if msg.data in (SUCCESS, FAILURE):
            _, said = self._attempt(lambda: self._session.mark(msg.data == SUCCESS))
            self.get_logger().info(said)

    # -- what the operator asks ------------------------------------------------------------

    def _start(self) -> str:
        since_ns = int(self.get_clock().now().nanoseconds) - self._preroll_ns
        return self._session.start(self._around.lasting(since_ns))

    def _stop(self) -> str:
        return self._session.stop()

    def _discard(self) -> str:
        return self._session.discard()

    def _on_request(self, act: Callable[[], str], _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._attempt(act)
        return response

    def _on_mark(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = self._attempt(lambda: self._session.mark(request.data))
        return response

    def _attempt(self, act: Callable[[], str]) -> tuple[bool, str]:
        try:
            return True, act()
        except (OSError, WamError) as error:
            return False, str(error)

    # -- what is said ----------------------------------------------------------------------

    def _on_look(self) -> None:
        self._session.look()
        if self._session.news != self._said:
            self._said = self._session.news
            self.get_logger().info(self._said)

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        figures = {**self._session.figures(), **self._source.statistics()}
        late = figures["pictures_repeated"] or figures["messages_refused"]
        level = ERROR if self._session.failed else WARN if late and figures["state"] == RECORDING else OK
        return level, str(figures["state"]), figures


def _color_codec(wanted: str, layout: EpisodeLayout) -> Codec:
    if wanted != "auto":
        return AV1 if wanted == "av1" else H264
    streams = [stream for stream in layout.streams if stream.kind == "color"]
    largest = max(streams, key=lambda stream: stream.height * stream.width)
    return choose_color_codec(largest.height, largest.width, len(streams), layout.fps)


def main() -> None:
    """Run the node."""
    # The thread that receives gets its turn from those that encode within half a millisecond instead of five.
    sys.setswitchinterval(0.0005)
    sys.exit(run_node(RecorderNode))
