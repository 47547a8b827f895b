# SPDX-License-Identifier: Apache-2.0
"""The imagination: what the policy thinks will be seen, beside what is measured, and how wrong it was.

It takes no part in the run. It listens to the policy and the cameras only while somebody looks at what it publishes, or, with
``measure``, to say errors on ``diagnostics``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from wam_ros.core.card import Card
from wam_ros.core.imagination import Imagination
from wam_ros.core.safety import State
from wam_ros.core.types import NS_PER_S, Observation, nanoseconds
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.card import checkpoint_folder, parse_card
from wam_ros.foresight.comparison import Compared, Comparison, Sighted, sighted
from wam_ros.foresight.scenes import Scenes
from wam_ros.ros.clouds import ERROR, IMAGINED, MEASURED, CloudOutlet
from wam_ros.ros.eyesight import Eyesight
from wam_ros.ros.imagined import ImaginedInlet, ViewOutlets
from wam_ros.ros.main import run_node
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import LATCHED
from wam_ros.ros.status import OK, WARN, StatusReporter, Value
from wam_ros.ros.timebase import steady_clock
from wam_ros.vision.sight import sights_of

#: How soon it notices that somebody begins or ceases to look [s].
LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ImaginationParams:
    """Parameters of the imagination."""

    robot: str = parameter(description="name or YAML path of the robot")
    policy: str = parameter(description="name or YAML path of the policy")
    measure: bool = parameter(False, description="say errors on diagnostics, also while nobody looks")
    calibration_days: float = parameter(180.0, description="an older one is stale", unit="d", lower=0.1, upper=3650)
    shown_s: float = parameter(
        60.0, description="how far ahead, at most, the shown picture is", unit="s", lower=0, upper=60
    )
    far_m: float = parameter(
        3.0, description="bound of measured clouds, unless the policy has one", unit="m", lower=0.1, upper=100
    )
    rate_hz: float = parameter(5.0, description="largest pace of measured clouds", unit="Hz", lower=0.1, upper=60.0)


class ImaginationNode(Node):
    """Clouds, pictures and errors of the newest imagination."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("imagination", **node_args)
        params = self._params = declare(self, ImaginationParams)
        self._robot, policy = load_robot(params.robot), load_policy(params.policy)
        card = parse_card(checkpoint_folder(policy)) if policy.checkpoint else None
        self._sights = sights_of(self._robot, policy.mosaic, card)
        self._no_metres = _why_no_metres(policy.name, card)
        self._measures = params.measure and card is not None and card.family == "xwam"
        self._far_m = card.depth.far_m if card is not None and card.depth is not None else params.far_m
        cameras, names = tuple(self._sights), self._robot.joint_names
        self._eyesight = Eyesight(self, self._robot, cameras, params.calibration_days)
        self._scenes: Scenes | None = None
        frame_ns = nanoseconds(1 / self._robot.camera(self._robot.leader_camera).rate_hz)
        self._comparison = Comparison(self._sights, self._far_m, frame_ns)
        self._shown_ns, self._due_ns = nanoseconds(params.shown_s), 0
        self._measured, self._imagined, self._error = (
            CloudOutlet(self, topic, self._robot.base_frame) for topic in (MEASURED, IMAGINED, ERROR)
        )
        self._views = ViewOutlets(self, [self._robot.camera(name) for name in cameras])
        self._inlet = ImaginedInlet(
            self, names, cameras, with_depth=not self._no_metres, on_imagination=self._on_imagination
        )
        self._source: ObservationSource | None = None
        self.create_subscription(DiagnosticStatus, "safety/state", self._on_safety, LATCHED)
        self.create_timer(LOOK_S, self._on_look, clock=steady_clock())
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Listen no more, then end."""
        self._want(False)
        super().destroy_node()

    # -- who looks -------------------------------------------------------------------------

    def _on_look(self) -> None:
        looked_at = (self._measured, self._imagined, self._error, self._views)
        self._want(self._measures or any(outlet.wanted for outlet in looked_at))

    def _want(self, wanted: bool) -> None:
        if wanted and self._source is None:
            self._inlet.open()
            self._source = ObservationSource(
                self, self._robot, on_observation=self._on_observation, with_depth=True, cameras=tuple(self._sights)
            )
        elif not wanted and self._source is not None:
            self._inlet.close()
            self._source.close()
            self._source = None
            self._comparison.forget()

    # -- what comes ------------------------------------------------------------------------

    def _on_imagination(self, seen: Imagination) -> None:
        self._comparison.expect(seen)
        shown, scenes = seen.at(self._shown_ns), self._drawn()
        if self._views.wanted:
            known = self._eyesight.matrices
            matrices = {n: self._sights[n].intrinsics(matrix) for n, matrix in known.items()}
            self._views.publish(seen, shown, matrices)
        if scenes is not None and self._imagined.wanted and not self._no_metres:
            # Of a time to come, but rviz would not show a stamp from there.
            self._imagined.publish(scenes.imagined(seen, shown), seen.stamp_ns)

    def _on_observation(self, seen: Observation) -> None:
        for compared in self._comparison.see(seen):
            self._show_error(compared)
        if self._measured.wanted and not 0 < self._due_ns - seen.stamp_ns < NS_PER_S:
            self._due_ns = seen.stamp_ns + nanoseconds(1 / self._params.rate_hz)
            self._show_measured(sighted(seen, self._sights))

    def _on_safety(self, status: DiagnosticStatus) -> None:
        if not State(status.message).live:
            self._comparison.forget()  # what was planned will not be done

    # -- what is shown ---------------------------------------------------------------------

    def _drawn(self) -> Scenes | None:
        """Return what makes clouds, once every camera can be placed and understood."""
        if self._scenes is None and not self._eyesight.refusal:
            self._scenes = Scenes(self._robot, self._sights, self._eyesight.matrices, self._far_m)
        return self._scenes

    def _show_error(self, compared: Compared) -> None:
        scenes, shown = self._drawn(), compared.imagined.at(self._shown_ns)
        if scenes is not None and self._error.wanted and compared.frame == shown and not self._no_metres:
            self._error.publish(scenes.error(compared), compared.seen.stamp_ns)

    def _show_measured(self, seen: Sighted) -> None:
        scenes = self._drawn()
        if scenes is not None:
            self._measured.publish(scenes.measured(seen), seen.stamp_ns)

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        state = "RESTING" if self._source is None else "LOOKING"
        reasons = [r for r in (self._eyesight.refusal, self._no_metres, *self._comparison.complaints) if r]
        values: dict[str, Value] = {
            "state": state,
            "refused": "; ".join(reasons),
            "torn": self._inlet.torn,
            **self._comparison.figures(),
        }
        heard = {} if self._source is None else self._source.statistics()
        refused = {key: value for key, value in heard.items() if key.startswith("refused_")}
        return WARN if reasons else OK, reasons[0] if reasons else state, {**values, **refused}


def _why_no_metres(policy: str, card: Card | None) -> str:
    """Return why nothing that is imagined has a distance; empty where it has."""
    if card is None:
        return f"policy {policy}: has no checkpoint, so that it imagines nothing; choose one that does"
    if card.family == "xwam" and card.depth is None:
        return (
            f"policy {policy}: its card has no depth coding; convert it again with --depth NEAR FAR, if you know them"
        )
    return "" if card.depth else f"policy {policy}: models of the family {card.family} imagine no depth"


def main() -> None:
    """Run the node."""
    sys.exit(run_node(ImaginationNode))
