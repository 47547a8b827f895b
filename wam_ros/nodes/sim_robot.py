# SPDX-License-Identifier: Apache-2.0
"""The simulated twin: a node that looks like the robot's driver, with MuJoCo behind it.

It starts paused. ``sim/reset`` makes the next attempt, ``sim/play`` lets it run. In the pace ``realtime`` its
stamps follow the wall clock, also while paused: a robot that stands still. In ``lockstep`` time itself stands
still while paused, and the last sensors are said again, so that the graph can arm.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import SetBool, Trigger

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Camera, Habits, Robot
from wam_ros.core.types import FloatArray, seconds
from wam_ros.files.assets import load_robot, load_task
from wam_ros.ros.convert import image_to_msg, ns_to_stamp
from wam_ros.ros.driver import CameraDriver, Command, CommandDriver, JointDriver, Outlet
from wam_ros.ros.main import run_node
from wam_ros.ros.pace import Lockstep, Pace, Realtime
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.qos import EVENT, SENSOR
from wam_ros.ros.status import OK, StatusReporter, Value, make_status
from wam_ros.sim.disturbance import QUIET, Disturbance
from wam_ros.sim.judgement import Judgement
from wam_ros.sim.randomisation import NOMINAL, VARIED
from wam_ros.sim.twin import Twin, Variety

PACES = ("realtime", "lockstep")


@dataclass(frozen=True, kw_only=True)
class SimRobotParams:
    """Parameters of the simulated robot."""

    robot: str = parameter(description="name or YAML path of the robot")
    task: str = parameter(description="name or YAML path of the task, whose scene is simulated")
    seed: int = parameter(0, description="seed of the first attempt; later ones count on", lower=0, upper=2**31 - 1)
    pace: str = parameter("realtime", description="realtime, or lockstep: time waits for the graph")
    randomise: bool = parameter(False, description="draw colours, light, cameras and friction of each attempt")
    disturb: bool = parameter(False, description="push the workpiece and let one grip slip in each attempt")
    lockstep_after: str = parameter("", description="last node of the ring, in the pace lockstep")

    def __post_init__(self) -> None:
        if self.pace not in PACES:
            raise ConfigError(mismatch("sim_robot: pace", " or ".join(PACES), self.pace, "choose one"))
        if (self.pace == "lockstep") != bool(self.lockstep_after):
            expected = "the ring's last node in lockstep, nothing in realtime"
            remedy = f"correct it for pace {self.pace}"
            raise ConfigError(mismatch("sim_robot: lockstep_after", expected, repr(self.lockstep_after), remedy))


class SimRobot(Node):
    """Ports of the twin; ``name`` is the node's."""

    _habits: Habits | None = None
    _playing = False

    def __init__(self, name: str = "sim_robot", **node_args: Any) -> None:
        super().__init__(name, **node_args)
        self._seed = 0
        self._robot, self._twin = self._begin()
        self._attempt, self._played = 0, False
        self._pictured_ns = 0
        try:
            self._make_ports()
            self._pace = self._make_pace()
        except ConfigError:
            self._twin.close()  # left to the garbage collector, its renderer would take another one's textures along
            raise
        self._pace.leap()
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Free the renderer, then end."""
        self._twin.close()
        super().destroy_node()

    def _begin(self) -> tuple[Robot, Twin]:
        self._params = declare(self, SimRobotParams)
        self._seed = self._params.seed
        robot, task = load_robot(self._params.robot), load_task(self._params.task)
        if not robot.simulated:
            raise ConfigError(f"robot {robot.name} is not simulated; start its own driver or its double instead")
        return robot, Twin(robot, task, self._seed, self._variety())

    def _make_ports(self) -> None:
        self._joints = JointDriver(self, self._robot, self._twin.world.step_ns, self._habits)
        self._cameras = {camera.name: self._camera_driver(camera) for camera in self._robot.cameras}
        self._twin.wants_depth = lambda name: self._cameras[name].wants_depth
        self._truth = Outlet(self, JointState, "sim/truth", EVENT)
        self._judge = Outlet(self, DiagnosticStatus, "sim/judge", EVENT)
        self._scene = self.create_publisher(Image, "sim/scene", SENSOR)
        self._commands = CommandDriver(self, self._robot, self._on_command, self._habits)
        self.create_service(Trigger, "sim/reset", self._on_reset)
        self.create_service(SetBool, "sim/play", self._on_play)

    def _camera_driver(self, camera: Camera) -> CameraDriver:
        repeated = self._params.pace == "lockstep"
        return CameraDriver(self, camera, self._twin.world.intrinsics(camera.name), repeated=repeated)

    def _variety(self) -> Variety:
        how = self._params
        return Variety(VARIED if how.randomise else NOMINAL, Disturbance() if how.disturb else QUIET)

    def _make_pace(self) -> Pace:
        step_ns = self._twin.world.step_ns
        if self._params.pace == "realtime":
            return Realtime(self, self._step, step_ns)
        rates = {camera.rate_hz for camera in self._robot.cameras}
        if len(rates) > 1:  # a token names one stamp that all pictures must have reached
            raise ConfigError(mismatch("cameras in lockstep", "one rate_hz", sorted(rates), "give all the same rate"))
        return Lockstep(
            self,
            self._step,
            step_ns,
            after=self._params.lockstep_after,
            heard_ns=lambda: self._commands.heard_ns,
            playing=lambda: self._playing,
            repeat=self._repeat,
        )

    # -- what is heard ---------------------------------------------------------------------

    def _on_command(self, command: Command) -> None:
        self._twin.command(command.joints, command.target, command.speed, self._pace.now_ns)
        self._pace.check()

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._attempt += self._played  # an attempt that was never played is made again
        self._played = self._playing = False
        seed = self._seed + self._attempt
        self._twin.restart(seed)
        self._pace.leap()
        response.success, response.message = True, f"attempt {self._attempt}, seed {seed}"
        return response

    def _on_play(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._playing = request.data
        if self._playing:
            self._played = True
            self._pace.play()
        response.success, response.message = True, "playing" if self._playing else "paused"
        return response

    # -- what is said ----------------------------------------------------------------------

    def _step(self, now_ns: int) -> int:
        """Make one step of physics, or of standing still; return the stamp of the newest picture."""
        if self._playing:
            self._twin.step(now_ns)
        else:
            self._twin.stand()
        self._twin.watched = self._scene.get_subscription_count() > 0
        sensed = self._twin.sense()
        self._joints.publish(sensed.position, sensed.velocity, now_ns)
        for name, (color, depth_m) in sensed.frames.items():
            self._cameras[name].publish(color, depth_m, now_ns)
            self._pictured_ns = now_ns
        if sensed.truth is not None:
            self._tell_truth(sensed.truth, now_ns)
        if sensed.judgement is not None:
            self._tell_judgement(sensed.judgement)
        if sensed.scene is not None:
            self._scene.publish(image_to_msg(sensed.scene, "rgb8", now_ns, ""))
        return self._pictured_ns

    def _tell_truth(self, truth: FloatArray, now_ns: int) -> None:
        message = JointState(name=list(self._twin.world.truth_names), position=truth.tolist())
        message.header.stamp = ns_to_stamp(now_ns)
        self._truth.publish(message)

    def _tell_judgement(self, judgement: Judgement) -> None:
        values: dict[str, Value] = {**judgement.stages, **judgement.measures, "progress": judgement.progress}
        values |= {"success": judgement.success, "attempt": self._attempt, "elapsed_s": seconds(self._twin.elapsed_ns)}
        self._judge.publish(make_status("sim/judge", OK, "success" if judgement.success else "", values))

    def _repeat(self) -> None:
        for camera in self._cameras.values():
            camera.repeat()
        for outlet in (self._joints, self._truth, self._judge):
            outlet.repeat()

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        state = "PLAYING" if self._playing else "PAUSED"
        counts = {"commands": self._commands.heard, "commands_refused": self._commands.refused}
        return OK, state, {"state": state, "attempt": self._attempt, "overruns": self._pace.overruns, **counts}


def main() -> None:
    """Run the node."""
    sys.exit(run_node(SimRobot))
