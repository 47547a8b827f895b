# SPDX-License-Identifier: Apache-2.0
"""Play a graph with ``ros2 launch``; the only module that knows ``launch``.

:func:`node_keywords` is what launch is told, kept apart from it so that a test can hold it against the runner.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wam_ros.calibration_graph import CalibrationOptions, Move, plan_calibration
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.environment import additions
from wam_ros.files.board import parse_board
from wam_ros.graph import NodeSpec, Pace, RunOptions, make_plan
from wam_ros.ros.orphan import RUNNER_PID

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

N = TypeVar("N", int, float)

#: Name of each launch argument to its default and description.
ARGUMENTS = {
    "robot": ("", "name or YAML path; empty: the task's"),
    "policy": ("", "name or YAML path; empty: the task's"),
    "seed": ("0", "of the first attempt"),
    "pace": ("realtime", "realtime or lockstep (simulated robots)"),
    "double": ("false", "start the double of a real robot's driver, in the task's scene"),
    "domain": ("", "ROS domain of the robot; empty: as the environment says"),
    "latency_ms": ("", "declared inference latency; empty: 190 in lockstep, as fast as can be in realtime"),
    "view": ("false", "start the browser view"),
    "console": ("false", "start the browser view with the operator's buttons; their token is logged"),
    "rviz": ("false", "start rviz2, and robot_state_publisher where ROS has it"),
    "imagine": ("false", "show what the policy imagines, and measure it against what comes"),
    "teleop": ("", "what a person may take over with: leader, gamepad, keyboard or expert; empty: nothing"),
    "record": ("", "folder of the dataset to record into; empty: no recorder"),
}

CALIBRATION_ARGUMENTS = {
    "robot": ("", "name or YAML path"),
    "task": ("", "name or YAML path, whose workspace is kept to; empty: a wide one"),
    "board": ("", "as in {columns: 11, rows: 8, square_m: 0.02, marker_m: 0.015}; empty: that one"),
    "move": ("hand", "how the arms get about: hand, teleop, or drive (by themselves, through motion)"),
    "teleop": ("", "with move teleop: leader, gamepad or keyboard"),
    "poses": ("15", "of each camera that an arm carries"),
    "speed": ("0.15", "share of the robot's limits when driving"),
    "serials": ("", "of the cameras, as in left_wrist=0815,head=0816"),
    "out": ("", "the calibration file; empty: calibration-ROBOT.yaml"),
}


def node_keywords(spec: NodeSpec) -> dict[str, Any]:
    """Return the keywords of ``launch_ros.actions.Node`` for a node of the graph."""
    return {
        "package": spec.package,
        "executable": spec.target,
        "name": spec.name,
        "parameters": [dict(spec.params)],
        "remappings": list(spec.remaps),
        **({"arguments": list(spec.arguments)} if spec.arguments else {}),
    }


def options_from(task: str, arguments: dict[str, str]) -> RunOptions:
    """Return the run options that launch arguments stand for.

    Raises:
        ConfigError: an argument is not what it should be.
    """
    latency = arguments["latency_ms"]
    return RunOptions(
        task,
        arguments["robot"],
        arguments["policy"],
        seed=_number("seed", arguments["seed"], int),
        pace=cast("Pace", arguments["pace"]),
        declared_latency_s=_number("latency_ms", latency, float) / 1000 if latency else None,
        double=arguments["double"].lower() == "true",
        view=arguments["view"].lower() == "true",
        console=arguments["console"].lower() == "true",
        rviz=arguments["rviz"].lower() == "true",
        imagine=arguments["imagine"].lower() == "true",
        teleop=arguments["teleop"],
        record=arguments["record"],
    )


def calibration_options(given: dict[str, str]) -> CalibrationOptions:
    """Return the options that launch arguments stand for; what is not given is as by default.

    Raises:
        ConfigError: an argument is not what it should be.
    """
    arguments = {name: given.get(name, default) for name, (default, _) in CALIBRATION_ARGUMENTS.items()}
    return CalibrationOptions(
        arguments["robot"],
        arguments["task"],
        parse_board(arguments["board"]),
        move=cast("Move", arguments["move"]),
        teleop=arguments["teleop"],
        poses=_number("poses", arguments["poses"], int),
        speed_share=_number("speed", arguments["speed"], float),
        serials=arguments["serials"],
        out=arguments["out"],
    )


def from_graph(task: str) -> LaunchDescription:
    """Return the launch description of a task; the arguments are those of :data:`ARGUMENTS`."""
    from launch import LaunchDescription
    from launch.actions import OpaqueFunction

    return LaunchDescription([*_declared(ARGUMENTS), OpaqueFunction(function=_entities, args=[task])])


def from_calibration() -> LaunchDescription:
    """Return the launch description of a calibration; the arguments are those of :data:`CALIBRATION_ARGUMENTS`."""
    from launch import LaunchDescription
    from launch.actions import OpaqueFunction

    return LaunchDescription([*_declared(CALIBRATION_ARGUMENTS), OpaqueFunction(function=_calibration)])


def _declared(arguments: dict[str, tuple[str, str]]) -> list[LaunchDescriptionEntity]:
    from launch.actions import DeclareLaunchArgument

    return [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in arguments.items()
    ]


def _calibration(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    from launch.actions import LogInfo, SetEnvironmentVariable

    given = {name: context.launch_configurations[name] for name in CALIBRATION_ARGUMENTS}
    plan = plan_calibration(calibration_options(given))
    environment = additions(os.environ, simulated=plan.robot.simulated) | {RUNNER_PID: str(os.getpid())}
    variables = [SetEnvironmentVariable(name, value) for name, value in environment.items()]
    hints = [] if plan.options.move == "hand" else beginnings(plan.robot.simulated)
    ask = "ros2 service call /calibrate/{solve,verify,save} std_srvs/srv/Trigger"
    told = [LogInfo(msg=f"to begin: {line}") for line in hints] + [LogInfo(msg=f"to end, one after the other: {ask}")]
    return [*variables, *(_node(spec) for spec in plan.specs), *told]


def _entities(context: LaunchContext, task: str) -> list[LaunchDescriptionEntity]:
    from launch.actions import LogInfo, SetEnvironmentVariable

    plan = make_plan(options_from(task, {name: context.launch_configurations[name] for name in ARGUMENTS}))
    environment = additions(os.environ, simulated=plan.staged) | {RUNNER_PID: str(os.getpid())}
    if domain := context.launch_configurations["domain"]:
        environment["ROS_DOMAIN_ID"] = str(_number("domain", domain, int))
    variables = [SetEnvironmentVariable(name, value) for name, value in environment.items()]
    begin = [LogInfo(msg=f"to begin: {line}") for line in beginnings(plan.staged)]
    return [*variables, *(_node(spec) for spec in plan.specs), *begin]


def beginnings(simulated: bool) -> list[str]:
    """Return the commands with which a person lets a launched graph begin; ``wam run`` does it by itself."""
    call = "ros2 service call"
    arm = f"{call} /arm std_srvs/srv/SetBool '{{data: true}}'"
    return [arm, f"{call} /sim/play std_srvs/srv/SetBool '{{data: true}}'"] if simulated else [arm]


def _node(spec: NodeSpec) -> LaunchDescriptionEntity:
    from launch.actions import Shutdown
    from launch_ros.actions import Node
    from launch_ros.parameter_descriptions import ParameterValue

    keywords = node_keywords(spec)
    # Without its type launch reads a string such as "1234" as a number.
    typed = {name: ParameterValue(value, value_type=type(value)) for name, value in spec.params.items()}
    keywords["parameters"] = [typed]
    ending = {"on_exit": Shutdown(reason=f"node {spec.name} ended")} if spec.required else {}
    return Node(**keywords, output="screen", **ending)


def _number(name: str, text: str, kind: type[N]) -> N:
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(mismatch(f"launch argument {name}", kind.__name__, repr(text), "correct it")) from error
