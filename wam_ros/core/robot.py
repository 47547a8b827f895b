# SPDX-License-Identifier: Apache-2.0
"""What a robot YAML says: arms, grippers, cameras, limits, topics. Nothing here knows a robot's name.

A robot is a list of arms, each with a gripper, and a list of cameras. The *robot order* of joints is
arm by arm: its joints from base to tool, then its gripper. Every vector of J values uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.place import Place
from wam_ros.core.sdk import Sdk
from wam_ros.core.types import FloatArray, frozen


@dataclass(frozen=True)
class JointLimits:
    """Bounds of one arm's targets; one value per joint.

    Attributes:
        lower_rad, upper_rad: position bounds of *targets*; feedback may lie ``feedback_margin_rad`` outside.
        velocity_rad_s, acceleration_rad_s2, jerk_rad_s3: magnitude bounds.
        feedback_margin_rad: how far outside the bounds feedback is still believed.
    """

    lower_rad: tuple[float, ...]
    upper_rad: tuple[float, ...]
    velocity_rad_s: tuple[float, ...]
    acceleration_rad_s2: tuple[float, ...]
    jerk_rad_s3: tuple[float, ...]
    feedback_margin_rad: float = 0.1

    def __post_init__(self) -> None:
        lists = (self.lower_rad, self.upper_rad, self.velocity_rad_s, self.acceleration_rad_s2, self.jerk_rad_s3)
        sizes = {len(values) for values in lists}
        if len(sizes) != 1:
            raise ConfigError(
                mismatch("limits", "lists of one length", sorted(sizes), "give one value per joint in every list")
            )
        if any(lo >= hi for lo, hi in zip(self.lower_rad, self.upper_rad, strict=True)):
            raise ConfigError("limits: lower_rad must be below upper_rad for every joint; swap them where they are not")
        if min((*self.velocity_rad_s, *self.acceleration_rad_s2, *self.jerk_rad_s3)) <= 0:
            raise ConfigError("limits: velocity, acceleration and jerk must be positive for every joint")


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper, commanded by its own topic or inside its arm's command.

    Attributes:
        joint: its name in the robot order.
        closed_native, open_native: two-point calibration of the driver's unit, as its feedback says it.
        driver_gain: by what the driver multiplies a command before it is in that unit.
        speed_1_s: largest rate of the normalised opening [1/s].
        latency_s: time from command to motion.
        feedback_margin: how far outside 0..1 feedback is still believed.
        fingers: URDF finger joints, with the position of each when open [m]; 0 when closed.
    """

    joint: str
    closed_native: float
    open_native: float
    driver_gain: float = 1.0
    speed_1_s: float = 2.0
    latency_s: float = 0.0
    feedback_margin: float = 0.15
    fingers: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.closed_native == self.open_native:
            raise ConfigError("gripper: closed_native and open_native are equal; read the driver's value at both ends")
        if self.driver_gain <= 0:
            raise ConfigError(
                mismatch("gripper: driver_gain", "more than 0", self.driver_gain, "1 where commands and feedback agree")
            )

    def to_native(self, opening: float) -> float:
        """Return the driver's value of a normalised opening."""
        return self.closed_native + opening * (self.open_native - self.closed_native)

    def from_native(self, value: float) -> float:
        """Return the normalised opening of a driver's value (a little outside 0..1 is possible)."""
        return (value - self.closed_native) / (self.open_native - self.closed_native)


@dataclass(frozen=True)
class Stream:
    """A topic of the robot's driver and how it is spoken.

    Attributes:
        topic: absolute topic name of the driver.
        kind: name of the dialect in ``ros/dialects.py`` that speaks it.
        rate_hz: the driver's nominal rate.
        read_hz: pace at which the newest message is taken from a topic too fast to hear every one; 0: hear all.
        spare_values: values that the driver may append to those of our joints.
        message: the vendor's type, ``package/msg/Name``, imported at run time; empty: the kind's standard type.
    """

    topic: str
    kind: str
    rate_hz: float
    read_hz: float = 0.0
    spare_values: int = 0
    message: str = ""

    @property
    def heard_hz(self) -> float:
        """Rate at which samples reach us."""
        return min(self.rate_hz, self.read_hz or self.rate_hz)


@dataclass(frozen=True)
class Arm:
    """One arm: its joints, bounds, poses, frames, and the topics of its driver.

    ``latency_s`` is the calibrated time from a command to the motion.
    """

    name: str
    joints: tuple[str, ...]
    limits: JointLimits
    gripper: Gripper
    base_frame: str
    tool_frame: str
    home_rad: tuple[float, ...]
    ready_rad: tuple[float, ...]
    state: Stream
    command: Stream
    gripper_state: Stream
    gripper_command: Stream
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.joints)
        for what, values in (
            ("limits.lower_rad", self.limits.lower_rad),
            ("home_rad", self.home_rad),
            ("ready_rad", self.ready_rad),
        ):
            if len(values) != n:
                raise ConfigError(
                    mismatch(f"arm {self.name}: {what}", f"{n} values", len(values), "give one per joint")
                )


@dataclass(frozen=True)
class Camera:
    """One camera and the topics of its driver.

    Attributes:
        name: its name in the views; also the relative topic ``cameras/<name>``.
        frame: its optical frame (z forward, x right, y down).
        color, depth, info: driver topics; depth and info may be empty.
        color_else: what other versions of the driver call the colour topic; whichever speaks is heard.
        transport: of colour: raw Image, or CompressedImage.
        depth_transport: of depth: raw Image, or 16-bit PNG as CompressedImage.
        arm: the arm that carries it; empty for a camera that stands.
        latency_s: calibrated time from exposure to the driver's stamp.
        max_skew_s: largest believed distance of a frame from the leader's.
        serial: number of the device that sits there; empty: any.
        model: what that device calls itself, as in D405; empty: any.
        vertical_fov_rad: what the simulated camera sees; real ones publish their calibration.
    """

    name: str
    frame: str
    width: int
    height: int
    rate_hz: float
    color: str
    depth: str = ""
    info: str = ""
    color_else: tuple[str, ...] = ()
    transport: Literal["raw", "compressed"] = "raw"
    depth_transport: Literal["raw", "compressed"] = "raw"
    arm: str = ""
    latency_s: float = 0.0
    max_skew_s: float = 0.05
    serial: str = ""
    model: str = ""
    vertical_fov_rad: float = 1.0

    @property
    def color_topics(self) -> tuple[str, ...]:
        """Every name under which its colour may come, the likeliest first."""
        return (self.color, *self.color_else)


@dataclass(frozen=True)
class Habits:
    """What a driver does beside its task. Its double does the same; nothing of ours relies on it.

    Attributes:
        delay_s: from a command to the first motion.
        reliable: feedback is sent reliably, and commands are heard reliably.
        reads_blindly: a command's values are read without a look at how many there are.
        stamps: what feedback and pictures say of their time: the truth, or nothing.
        overtravel: how far beyond open a gripper reads, as a share of its opening.
    """

    delay_s: float = 0.0
    reliable: bool = False
    reads_blindly: bool = False
    stamps: Literal["capture", "zero"] = "capture"
    overtravel: float = 0.0


@dataclass(frozen=True)
class Robot:
    """Everything the package knows about one robot.

    Attributes:
        urdf: file name below ``urdf/`` and ``urdf_args`` its xacro arguments.
        base_frame: the frame in which workspace boxes and clouds are given.
        leader_camera: the camera at whose capture times observations are made.
        fixed_joints_rad: where joints stand that no policy moves, such as a lift; nothing is sent to them.
        simulated: a twin stands where the driver would.
        target_lifetime_s: how long the driver follows a target when no other comes; none: for ever. Safety does not
            rely on it, the twin behaves so.
        stamp_source: the driver's stamps, or the time of arrival where its clock is not synchronised with ours.
        domains: ROS domains in which units of this robot have been found; ``wam doctor`` looks there.
        idle_publishers: nodes that own publishers of the command topics and are known never to use them.
        publishes_frames: its software tells all its links on ``/tf``; then nobody else may.
        habits: of the driver.
        sdk: the vendor's library that moves the arms here; none: a driver does.
        calibration: its calibration file, beside the robot's own; what it says is then in force. Empty: none.
        frames: URDF frames whose place is known better than the URDF's, as a calibration found them.
    """

    name: str
    description: str
    urdf: str
    base_frame: str
    arms: tuple[Arm, ...]
    cameras: tuple[Camera, ...]
    leader_camera: str
    urdf_args: dict[str, str] = field(default_factory=dict)
    fixed_joints_rad: dict[str, float] = field(default_factory=dict)
    command_rate_hz: float = 100.0
    simulated: bool = False
    target_lifetime_s: float | None = 0.2
    stamp_source: Literal["header", "receive"] = "header"
    domains: tuple[int, ...] = ()
    idle_publishers: tuple[str, ...] = ()
    publishes_frames: bool = False
    habits: Habits = Habits()
    sdk: Sdk | None = None
    calibration: str = ""
    frames: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.leader_camera not in {camera.name for camera in self.cameras}:
            raise ConfigError(
                mismatch("leader_camera", [c.name for c in self.cameras], self.leader_camera, "name one of the cameras")
            )
        if len(set(self.joint_names)) != len(self.joint_names):
            raise ConfigError("arms: two joints have the same name; names must be unique over all arms")

    @property
    def joint_names(self) -> tuple[str, ...]:
        """(J,) names in robot order."""
        return tuple(name for arm in self.arms for name in (*arm.joints, arm.gripper.joint))

    @property
    def gripper_mask(self) -> tuple[bool, ...]:
        """(J,) True where the joint is a gripper."""
        return tuple(flag for arm in self.arms for flag in (*(False,) * len(arm.joints), True))

    def ready_position(self) -> FloatArray:
        """(J,) the pose from which tasks start, grippers open."""
        return frozen([v for arm in self.arms for v in (*arm.ready_rad, 1.0)])

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """(J,), (J,) position bounds of targets, grippers 0..1."""
        lower = [v for arm in self.arms for v in (*arm.limits.lower_rad, 0.0)]
        upper = [v for arm in self.arms for v in (*arm.limits.upper_rad, 1.0)]
        return frozen(lower), frozen(upper)

    def camera(self, name: str) -> Camera:
        """Return the camera of that name.

        Raises:
            ConfigError: if there is none.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ConfigError(mismatch("camera", [c.name for c in self.cameras], name, "name one of the robot's cameras"))

    def motion_limits(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(J,) x 3 velocity, acceleration and jerk bounds; grippers: speed, and generous derivatives of it."""
        v = [x for arm in self.arms for x in (*arm.limits.velocity_rad_s, arm.gripper.speed_1_s)]
        a = [x for arm in self.arms for x in (*arm.limits.acceleration_rad_s2, 10 * arm.gripper.speed_1_s)]
        j = [x for arm in self.arms for x in (*arm.limits.jerk_rad_s3, 200 * arm.gripper.speed_1_s)]
        return frozen(np.array(v)), frozen(np.array(a)), frozen(np.array(j))
