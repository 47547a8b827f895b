# SPDX-License-Identifier: Apache-2.0
"""The viewer: what a run looks like, in a browser (``--view``) and for rviz (``rviz/wam.rviz``).

It takes no part in the run. It may ask for a stop, like anybody, and with the operator's console (``--console``) for
what an operator may ask for; losing it or its page changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from wam_ros.core.task import Task
from wam_ros.core.types import FloatArray, Trajectory
from wam_ros.files.assets import load_robot, load_task
from wam_ros.graph import TELLERS, VIEWER_JOINTS
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.path import tool_paths
from wam_ros.ros.clouds import ERROR, IMAGINED, MEASURED, CloudListener
from wam_ros.ros.listen import SideListener
from wam_ros.ros.main import run_node
from wam_ros.ros.markers import box_marker, committed_markers, state_marker
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import LATCHED
from wam_ros.ros.requests import Requests
from wam_ros.ros.tf import teller
from wam_ros.ros.timebase import steady_clock
from wam_ros.view.slots import Slots
from wam_ros.vision.colored_cloud import Cloud

if TYPE_CHECKING:
    from wam_ros.view.console import Console
    from wam_ros.view.page import Page

#: What the page writes: node, key, label, unit.
FIGURES = (
    ("policy", "sets_per_s", "observations", "/s"),
    ("policy", "latency_ms_p50", "inference p50", "ms"),
    ("policy", "skew_ms_p99", "camera skew p99", "ms"),
    ("policy", "dropped", "dropped", ""),
    ("motion", "phase", "motion", ""),
)
#: The page's clouds, and where they are heard.
CLOUDS = {"measured": MEASURED, "imagined": IMAGINED, "error": ERROR}


@dataclass(frozen=True, kw_only=True)
class ViewerParams:
    """Parameters of the viewer."""

    robot: str = parameter(description="name or YAML path of the robot")
    task: str = parameter(description="name or YAML path of the task, whose workspace is drawn")
    port: int = parameter(8080, description="of the page, on this computer only; 0: no page", lower=0, upper=65535)
    console: bool = parameter(False, description="also the operator's buttons")
    token: str = parameter("", description="that opens the operator's buttons; empty: a new one, which is logged")
    frames: str = parameter("viewer", description=f"who tells where the links are: {', '.join(TELLERS)}")
    rate_hz: float = parameter(10.0, description="pace of what is shown", unit="Hz", lower=1.0, upper=60.0)


class ViewerNode(Node):
    """Shows the newest of everything at its own pace."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("viewer", **node_args)
        params = declare(self, ViewerParams)
        self._params = params
        self._robot, task = load_robot(params.robot), load_task(params.task)
        self._kinematics = Kinematics(self._robot)
        self._slots = Slots()
        self._figures: dict[str, str] = {}
        self._inferences = ""
        self._links = teller(self, self._robot, params.frames, VIEWER_JOINTS)
        self._markers = self.create_publisher(MarkerArray, "markers", LATCHED)
        workspace = self.create_publisher(MarkerArray, "markers/workspace", LATCHED)
        workspace.publish(MarkerArray(markers=[box_marker(task.workspace, self._robot.base_frame, self._now_ns())]))
        self._wishes: SimpleQueue[tuple[str, bool | str | None]] = SimpleQueue()
        self._wished = self.create_guard_condition(self._on_wish)
        self._requests, self._said = Requests(self, self._on_answer), {"answer": "", "leader": "", "recorder": ""}
        self._console: Console | None = None
        self._page = self._open_page(task) if params.port else None
        self._clouds = CloudListener(self, CLOUDS, self._on_cloud)
        SideListener(self, self._robot, self._slots)
        self.create_timer(1.0 / params.rate_hz, self._on_show, clock=steady_clock())

    def destroy_node(self) -> None:
        """Close the page, then end."""
        if self._page is not None:
            self._page.close()
        super().destroy_node()

    def _open_page(self, task: Task) -> Page:
        from wam_ros.view.page import Page  # rviz alone needs no browser library

        page = Page(self._robot, self._params.port, self.ask_to_stop)
        self.get_logger().info(f"look at {page.url}")
        if self._params.console:
            token = self._params.token or token_urlsafe(9)
            self._console = page.add_console(task, token, self.ask)
            self.get_logger().info(f"the console's token is {token}")
        return page

    def ask_to_stop(self) -> None:
        """Ask safety for a stop; may be called by any thread, as the page's button does."""
        self.ask("safety_stop", None)

    def ask(self, name: str, wish: bool | str | None) -> None:
        """Ask for what an operator may ask for; may be called by any thread."""
        self._wishes.put((name, wish))
        self._wished.trigger()

    def _on_wish(self) -> None:
        while not self._wishes.empty():
            name, wish = self._wishes.get()
            self.get_logger().info(f"asked for on the page: {name}" + ("" if wish is None else f" {wish}"))
            self._requests.ask(name, wish)

    def _on_answer(self, _granted: bool, text: str) -> None:
        self._said["answer"] = text

    def _show_console(self, console: Console, statuses: Mapping[str, Mapping[str, str]]) -> None:
        motion = statuses.get("motion", {})
        leads, far = motion.get("source", self._said["leader"]), motion.get("too_far")
        self._said["leader"] = f"{leads}, not followed: {far}" if far else leads
        recorder = statuses.get("recorder")
        self._said["recorder"] = recorder["news"] or recorder["state"] if recorder else self._said["recorder"]
        console.show(**self._said)

    def _on_cloud(self, name: str, cloud: Cloud) -> None:
        if self._page is not None:
            self._page.clouds.put(name, cloud)

    def _on_show(self) -> None:
        news = self._slots.take()
        if news.joints is not None:
            self._show_joints(*news.joints)
        if news.committed is not None:
            self._show_committed(news.committed)
        if news.safety is not None:
            self._show_safety(*news.safety)
        if self._page is not None:
            if news.pictures:
                self._page.show_pictures(news.pictures)
            self._show_figures(self._page, news.statuses)
            self._clouds.want(self._page.clouds.wanted)
        if self._console is not None:
            self._show_console(self._console, news.statuses)

    def _show_joints(self, stamp_ns: int, position: FloatArray) -> None:
        if self._links is not None:
            self._links.publish(position, stamp_ns)
        if self._page is not None:
            self._page.show_joints(position)

    def _show_committed(self, trajectory: Trajectory) -> None:
        if trajectory.names != self._robot.joint_names or not trajectory.times_ns:
            return
        paths = tool_paths(self._kinematics, trajectory)
        self._markers.publish(committed_markers(paths, self._robot.base_frame, self._now_ns()))
        if self._page is not None:
            self._page.show_paths(paths)

    def _show_safety(self, state: str, cause: str) -> None:
        marker = state_marker(state, cause, self._robot.base_frame, self._now_ns())
        self._markers.publish(MarkerArray(markers=[marker]))
        if self._page is not None:
            self._page.show_state(state, cause)

    def _show_figures(self, page: Page, statuses: Mapping[str, Mapping[str, str]]) -> None:
        before = dict(self._figures)
        for node, key, label, unit in FIGURES:
            if key in statuses.get(node, {}):
                self._figures[label] = f"{statuses[node][key][:6]} {unit}"
        if self._figures != before:
            page.show_figures(self._figures)
        policy = statuses.get("policy", {})
        if policy.get("inferences", "0") not in ("0", self._inferences):
            self._inferences = policy["inferences"]
            page.add_latency(int(self._inferences), float(policy["latency_ms"]))

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def main() -> None:
    """Run the node."""
    sys.exit(run_node(ViewerNode))
