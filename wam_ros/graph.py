# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once as data; ``runner.py`` and ``launching.py`` only play it.

Robot and twin differ by one node: ``sim_robot`` stands where the real robot's driver would be.
Nodes use fixed relative names; what a driver calls its topics stands in the robot YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.policy import Policy, check_policy_fits
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.files.assets import load_policy, load_robot, load_task

Pace = Literal["realtime", "lockstep"]
Value = str | int | float | bool

#: Every program below ``wam_ros.nodes``; setup.py installs one executable for each.
PROGRAMS = (
    "sim_robot",
    "policy",
    "motion",
    "safety",
    "teleop",
    "viewer",
    "imagination",
    "drift",
    "recorder",
    "replay",
    "calibration",
    "double",
    "camera_realsense",
    "arms",
)

#: What a person may lead the arms with; the scripted expert stands in for him.
TELEOP_SOURCES = ("leader", "gamepad", "keyboard", "expert")
#: From what the stand-in sees to what he wants [s]; whether this computer plans as quickly is not asked of a person.
STAND_IN_S = 0.1
#: Who may tell where the robot's links are.
TELLERS = ("viewer", "robot_state_publisher", "robot")
#: Where the viewer tells robot_state_publisher the joints; a driver may have a ``joint_states`` of its own.
VIEWER_JOINTS = "viewer/joint_states"
#: Nodes at the side: the graph goes on when they end.
_ASIDE = ("viewer", "imagination", "drift", "recorder")

#: Fast-WAM's time for a chunk on one consumer GPU [s] (arXiv 2603.16666).
REFERENCE_LATENCY_S = 0.19


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph.

    Attributes:
        name: its name on the wire.
        target: the module below ``wam_ros.nodes`` that is its program, also its ``ros2 run`` executable.
        params: its ROS parameters.
        remaps: relative names to the names of this graph.
        required: the graph ends when this node ends.
        package: whose executable it is, if not ours.
        arguments: what else stands on its command line.
    """

    name: str
    target: str
    params: Mapping[str, Value] = field(default_factory=dict)
    remaps: tuple[tuple[str, str], ...] = ()
    required: bool = True
    package: str = "wam_ros"
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOptions:
    """What to run and how.

    Attributes:
        task, robot, policy: each a name, or the path of a YAML file; the task names the robot and the
            policy where they are empty.
        seed: of the first attempt; later attempts count on from it.
        pace: simulated time follows the wall clock, or goes round as a token (docs/adr/0001).
        declared_latency_s: from capture to the landing of a chunk, whatever the machine's speed. None: that of
            the reference model in lockstep; in realtime a chunk lands when it is there.
        randomise: draw colours, light, cameras and friction of the twin for each attempt.
        disturb: push the workpiece on the way and let one grip be lost.
        double: start the double of a real robot's driver, in the task's scene.
        view: start the browser view at the side.
        console: with the operator's buttons.
        rviz: start rviz2, and what tells it where the links are.
        imagine: show what the policy imagines to who looks, and measure it against what comes.
        drift: warn when a camera or arm is no longer where it was calibrated.
        teleop: what a person may take over with; empty: nothing.
        record: folder of the dataset into which attempts are recorded; empty: no recorder.
        params: further node parameters, as ``(node, parameter, value)``.
    """

    task: str
    robot: str = ""
    policy: str = ""
    seed: int = 0
    pace: Pace = "realtime"
    declared_latency_s: float | None = None
    randomise: bool = False
    disturb: bool = False
    double: bool = False
    view: bool = False
    console: bool = False
    rviz: bool = False
    imagine: bool = False
    drift: bool = False
    teleop: str = ""
    record: str = ""
    params: tuple[tuple[str, str, Value], ...] = ()

    def __post_init__(self) -> None:
        if self.pace not in get_args(Pace):
            raise ConfigError(mismatch("pace", " or ".join(get_args(Pace)), repr(self.pace), "choose one"))
        if self.teleop not in ("", *TELEOP_SOURCES):
            raise ConfigError(mismatch("teleop", " or ".join(TELEOP_SOURCES), repr(self.teleop), "choose one"))
        if not 0 <= self.latency_s <= 10:
            raise ConfigError(mismatch("latency", "0 to 10 s", f"{self.latency_s} s", "give it in milliseconds"))
        if not 0 <= self.seed < 2**31:
            raise ConfigError(mismatch("seed", "0 to 2147483647", self.seed, "choose another"))

    @property
    def latency_s(self) -> float:
        """The declared latency in force."""
        if self.declared_latency_s is not None:
            return self.declared_latency_s
        return REFERENCE_LATENCY_S if self.pace == "lockstep" else 0.0

    @property
    def twin(self) -> str:
        """How the twin differs from the nominal one, in words."""
        words = [word for word, said in (("randomised", self.randomise), ("disturbed", self.disturb)) if said]
        return " and ".join(words) or "nominal"


@dataclass(frozen=True)
class Plan:
    """A graph and the descriptions it was made from."""

    robot: Robot
    task: Task
    policy: Policy
    options: RunOptions
    specs: tuple[NodeSpec, ...]

    @property
    def staged(self) -> bool:
        """Whether the scene is a simulator's, which sets and judges it; nobody outside this computer takes part."""
        return self.robot.simulated or self.options.double


def make_plan(options: RunOptions) -> Plan:
    """Read the descriptions and build their graph; the plan's options name all three.

    Raises:
        ConfigError: a description is missing or wrong, or they do not fit together.
        MissingDependencyError: rviz is asked for and is not installed.
    """
    task = load_task(options.task)
    options = replace(
        options,
        robot=options.robot or task.default_robot,
        policy=options.policy or task.default_policy,
        declared_latency_s=options.latency_s,
    )
    robot, policy = load_robot(options.robot), load_policy(options.policy)
    specs = build_graph(robot, task, policy, options)
    if options.rviz:
        from wam_ros.rviz_graph import with_rviz  # late: it reads the URDF, which nobody else needs here

        specs = with_rviz(specs, robot)
    return Plan(robot, task, policy, options, specs)


def build_graph(robot: Robot, task: Task, policy: Policy, options: RunOptions) -> tuple[NodeSpec, ...]:
    """Return the nodes that run this task on this robot with this policy.

    Pure. The nodes are given what ``options`` calls the descriptions, and read them themselves.

    Raises:
        ConfigError: when the three do not fit together or an option is meant for another graph.
    """
    _check_fits(robot, task, policy, options)
    about_robot: dict[str, Value] = {"robot": options.robot, "use_sim_time": robot.simulated}
    about_task = {**about_robot, "task": options.task}
    line: dict[str, dict[str, Value]] = {
        "sim_robot": {
            **about_task,
            "seed": options.seed,
            "pace": options.pace,
            "randomise": options.randomise,
            "disturb": options.disturb,
        },
        "policy": {**about_task, "policy": options.policy, "declared_latency_s": options.latency_s},
        "motion": {**about_task},
        "safety": {**about_robot},
    }
    if not robot.simulated:
        del line["sim_robot"]
    if options.double:
        line = {"double": {"robot": options.robot, "task": options.task, "seed": options.seed}, **line}
        line["policy"]["staged"] = True
    if options.pace == "lockstep":
        close_ring(line)
    # A person stands outside the ring: simulated time cannot wait for him.
    if options.teleop:
        by_hand = {**about_robot, "source": options.teleop}
        stand_in = {**about_task, "policy": "expert", "declared_latency_s": STAND_IN_S, "measured": False}
        stand_in |= {"staged": True} if options.double else {}
        line["teleop"] = stand_in if options.teleop == "expert" else by_hand
    if options.view or options.console or options.rviz:
        own = robot.publishes_frames and not (robot.simulated or options.double)
        line["viewer"] = {**about_task, "frames": "robot" if own else "viewer"}
        line["viewer"] |= {"console": True} if options.console else {} if options.view else {"port": 0}
    if options.drift:
        line["drift"] = {**about_robot}
    if options.imagine:
        line["imagination"] = {**about_robot, "policy": options.policy, "measure": True}
    if options.record:
        line["recorder"] = {**about_task, "root": options.record}
    _add_params(line, options)
    return tuple(_spec(name, params, options) for name, params in line.items())


def _spec(name: str, params: Mapping[str, Value], options: RunOptions) -> NodeSpec:
    if name == "teleop" and options.teleop == "expert":
        # A stand-in for a person is a policy whose chunks are the person's.
        remaps = tuple((f"policy/{what}", f"teleop/{what}") for what in ("chunk", "mosaic"))
        return NodeSpec(name, "policy", params, remaps)
    return NodeSpec(name, name, params, required=name not in _ASIDE)


def _check_fits(robot: Robot, task: Task, policy: Policy, options: RunOptions) -> None:
    check_policy_fits(policy, robot, with_truth=robot.simulated or options.double)
    if options.double and (robot.simulated or not task.scene):
        remedy = "leave --double out" if robot.simulated else "choose another task"
        raise ConfigError(mismatch("--double", "a real robot and a task with a scene", robot.name, remedy))
    if robot.simulated and not task.scene:
        raise ConfigError(f"task {task.name} has no scene for the simulated robot {robot.name}; choose a real robot")
    if options.twin != "nominal" and not robot.simulated:
        raise ConfigError(f"only a twin can be {options.twin} and robot {robot.name} is real; leave the option out")
    if options.teleop == "expert" and not (robot.simulated or options.double):
        raise ConfigError(f"teleop expert reads the simulator and robot {robot.name} is real; choose leader or gamepad")
    if options.pace == "lockstep" and not robot.simulated:
        raise ConfigError(f"pace lockstep needs a simulated robot and {robot.name} is real; choose pace realtime")


def close_ring(line: dict[str, dict[str, Value]]) -> None:
    """Tell each node of a line whose token it waits for; the first waits for the last."""
    names = list(line)
    for before, name in zip((names[-1], *names), names, strict=False):
        line[name]["lockstep_after"] = before


def _add_params(line: dict[str, dict[str, Value]], options: RunOptions) -> None:
    for node, parameter, value in options.params:
        if node not in line:
            raise ConfigError(mismatch(f"node of parameter {parameter}", ", ".join(line), node, "choose one"))
        line[node][parameter] = value
