# SPDX-License-Identifier: Apache-2.0
"""A page in the browser: the robot, its cameras, what is committed, the state, the latency, and a stop button.

The server listens on this computer only, and answers only to its own page: any other page that is open in the
same browser could otherwise press its buttons.
"""

from __future__ import annotations

import functools
import html
import io
import logging
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import viser
import websockets.asyncio.server
import yourdfpy
from viser.extras import ViserUrdf

from wam_ros.core.cures import cure_of
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.forward import Kinematics
from wam_ros.view.clouds import Clouds
from wam_ros.view.console import Ask, Console
from wam_ros.vision.resize import resize

HOST = "127.0.0.1"
JPEG_QUALITY = 80
SHEET_PX = 360
LINE_M = 0.006
ACCENT = (47, 111, 143)
PLOT_COLOR = "#2f6f8f"
PLOT_PX = 150
STATE_COLORS = {"ARMED": "#2f6f8f", "RUNNING": "#2e7d4f", "STOPPED": "#b3402f"}
UNKNOWN_COLOR = "#6c7072"
#: Samples of the latency plot.
HISTORY = 120


class Page:
    """What the browser shows; its methods may be called by any one thread.

    Args:
        robot: to draw.
        port: to listen on.
        on_stop: called by the server's thread when the stop button is pressed.

    Attributes:
        url: where it is.
        clouds: that it shows.

    Raises:
        ConfigError: the port is taken.
    """

    def __init__(self, robot: Robot, port: int, on_stop: Callable[[], None]) -> None:
        check_port(port)
        self.url = f"http://{HOST}:{port}"
        with own_origin(port):
            self._server = viser.ViserServer(host=HOST, port=port, label=robot.name, verbose=False)
        self._simulated = robot.simulated
        self._latency: list[tuple[float, float]] = []
        self._make_scene(robot)
        self._make_panel(robot, on_stop)
        self.clouds = Clouds(self._server)

    def _make_scene(self, robot: Robot) -> None:
        scene = self._server.scene
        urdf = yourdfpy.URDF.load(io.StringIO(urdf_text(robot)))
        self._robot = ViserUrdf(self._server, urdf, root_node_name="/robot")
        self._joints = DrawnJoints(robot, urdf.actuated_joint_names)
        self.show_joints(robot.ready_position())
        T_root_base = np.linalg.inv(Kinematics(robot).pose(robot.ready_position(), urdf.base_link))
        wxyz = viser.transforms.SO3.from_matrix(T_root_base[:3, :3]).wxyz
        scene.add_frame("/base", show_axes=False, wxyz=wxyz, position=T_root_base[:3, 3])
        scene.add_grid("/floor", width=4, height=4, cell_size=0.25, section_size=1.0)
        ahead = T_root_base[:3, 3] + T_root_base[:3, 0] * 0.4
        self._server.initial_camera.look_at = tuple(ahead)
        self._server.initial_camera.position = tuple(ahead + np.array([1.1, -1.1, 0.8]))

    def _make_panel(self, robot: Robot, on_stop: Callable[[], None]) -> None:
        gui = self._server.gui
        # The share button would ask an outside service for a public address.
        gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        self._state = gui.add_html(_state_html("", ""), order=-2.0)
        stop = gui.add_button("Stop the robot", color="red", icon=viser.Icon.HAND_STOP, order=-1.0)
        stop.on_click(lambda _: on_stop())
        self._figures = gui.add_markdown("")
        self._plot = gui.add_uplot(
            (np.arange(2.0), np.zeros(2)),
            ({"label": "inference"}, {"label": "ms", "stroke": PLOT_COLOR, "width": 2}),
            title="time of each inference [ms]",
            scales={"x": {"time": False}},
            legend={"show": False},
            height=PLOT_PX,
        )
        self._sheet = ContactSheet(robot)
        self._cameras = gui.add_image(self._sheet.image, label="cameras", format="jpeg", jpeg_quality=JPEG_QUALITY)

    def add_console(self, task: Task, token: str, on_ask: Ask) -> Console:
        """Add the operator's buttons; ``on_ask`` is called by the server's threads."""
        stages = tuple(stage.name for stage in task.stages)
        simulated, instruction = self._simulated, task.instruction
        return Console(
            self._server, stages=stages, simulated=simulated, instruction=instruction, token=token, on_ask=on_ask
        )

    def show_joints(self, position: FloatArray) -> None:
        """Move the robot to (J,) positions in robot order."""
        self._robot.update_cfg(self._joints.configuration(position))

    def show_pictures(self, pictures: Mapping[str, ByteImage]) -> None:
        """Show (H, W, 3) RGB pictures of some cameras."""
        self._sheet.put(pictures)
        self._cameras.image = self._sheet.image

    def show_paths(self, paths: Mapping[str, FloatArray]) -> None:
        """Draw the (N, 3) way of each arm's tool, in the robot's base frame."""
        for arm, points in paths.items():
            segments = np.stack([points[:-1], points[1:]], axis=1)
            self._server.scene.add_line_segments(f"/base/committed/{arm}", segments, ACCENT, thickness=LINE_M)

    def show_state(self, state: str, cause: str) -> None:
        """Show the safety state, and why it stopped."""
        self._state.content = _state_html(state, cause)

    def show_figures(self, figures: Mapping[str, str]) -> None:
        """Show label and value pairs."""
        self._figures.content = "\n\n".join(f"{label}: **{value.strip()}**" for label, value in figures.items())

    def add_latency(self, inference: int, latency_ms: float) -> None:
        """Add an inference, by its number, to the latency plot."""
        self._latency = [*self._latency, (float(inference), latency_ms)][-HISTORY:]
        columns = np.array(self._latency)
        self._plot.data = (columns[:, 0], columns[:, 1])

    def close(self) -> None:
        """End the server."""
        self._server.stop()


class DrawnJoints:
    """Robot order to the joints of a URDF as it is drawn, fingers and locked joints included."""

    def __init__(self, robot: Robot, names: Sequence[str]) -> None:
        moved_by = {joint: (joint, 1.0) for arm in robot.arms for joint in arm.joints}
        for arm in robot.arms:
            moved_by |= {finger: (arm.gripper.joint, opened) for finger, opened in arm.gripper.fingers.items()}
        moved = [(i, *moved_by[name]) for i, name in enumerate(names) if name in moved_by]
        self._locked = np.array([robot.fixed_joints_rad.get(name, 0.0) for name in names])
        self._slots = np.array([i for i, _, _ in moved])
        self._columns = np.array([robot.joint_names.index(joint) for _, joint, _ in moved])
        self._scales = np.array([scale for _, _, scale in moved])

    def configuration(self, position: FloatArray) -> FloatArray:
        """Return the drawn joints' positions for (J,) positions in robot order."""
        configuration = self._locked.copy()
        configuration[self._slots] = position[self._columns] * self._scales
        return configuration


class ContactSheet:
    """All cameras in one picture: the leader on top, the others in a row below.

    Attributes:
        image: (H, W, 3) RGB.
    """

    def __init__(self, robot: Robot) -> None:
        leader = robot.camera(robot.leader_camera)
        others = [camera for camera in robot.cameras if camera is not leader]
        top = round(leader.height * SHEET_PX / leader.width)
        width = SHEET_PX // max(1, len(others))
        heights = {camera.name: round(camera.height * width / camera.width) for camera in others}
        self.image = np.zeros((top + max(heights.values(), default=0), SHEET_PX, 3), np.uint8)
        self._windows = {leader.name: self.image[:top]}
        for i, (name, height) in enumerate(heights.items()):
            self._windows[name] = self.image[top : top + height, i * width : (i + 1) * width]

    def put(self, pictures: Mapping[str, ByteImage]) -> None:
        """Put pictures in their places."""
        for name, color in pictures.items():
            window = self._windows[name]
            resize(color, window.shape[0], window.shape[1], "area", window)


def check_port(port: int) -> None:
    """Refuse a port that is taken: the server would silently choose another.

    Raises:
        ConfigError: naming the port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            got = f"{port} ({error.strerror})"
            raise ConfigError(
                mismatch("viewer: port", "a free port", got, "choose another, or end who uses it")
            ) from error


@contextmanager
def own_origin(port: int) -> Iterator[None]:
    """Let a websocket server that is made meanwhile refuse every page but its own (HTTP 403)."""
    allowed = re.compile(rf"http://(127\.0\.0\.1|localhost):{port}")
    # Browsers open connections ahead and drop them; the library would log each with a traceback.
    quiet = logging.getLogger(f"{__name__}.websockets")
    quiet.setLevel(logging.CRITICAL)
    serve = functools.partial(websockets.asyncio.server.serve, origins=[allowed], logger=quiet)
    with mock.patch.object(websockets.asyncio.server, "serve", serve):
        yield


def _state_html(state: str, cause: str) -> str:
    color = STATE_COLORS.get(state, UNKNOWN_COLOR)
    text = html.escape(state or "no word from safety")
    lines = [html.escape(line) for line in (cause, cure_of(cause)) if line]
    why = "".join(f'<div style="font-size:13px;opacity:.75">{line}</div>' for line in lines)
    return f'<div style="padding:4px 12px;font-weight:600;color:{color};font-size:20px">{text}{why}</div>'
