# SPDX-License-Identifier: Apache-2.0
"""The graph in which a robot is calibrated: that of a run, with the calibration where the policy would be.

Played by ``wam calibrate --live`` (runner.py) and by ``launch/calibrate.launch.py`` (launching.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import yaml

from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.files.assets import find, load_robot, load_task
from wam_ros.files.board import board_text
from wam_ros.files.load import to_data
from wam_ros.graph import NodeSpec, Pace, Value, close_ring

Move = Literal["hand", "teleop", "drive"]
TELEOP_SOURCES = ("leader", "gamepad", "keyboard")
TASK = "config/calibration.yaml"
PICTURES_HZ = 4.0
"""Of a simulated camera; drawing large pictures is slow."""


@dataclass(frozen=True)
class CalibrationOptions:
    """What is calibrated, and how the arms get about.

    Attributes:
        robot, task: names, or paths of YAML files; of the task only the workspace counts.
        board: before the robot.
        move: by hand (arms not armed), by teleoperation, or by itself.
        teleop: what a person leads the arms with, where he does.
        poses: of each carried camera.
        seed: of the poses that are drawn.
        speed_share: of the robot's limits.
        serials: camera=number of the devices that are plugged in, separated by commas.
        out: the calibration file.
        pace: of a simulated robot.
        terminal: of the keyboard, where that is the teleoperation.
    """

    robot: str
    task: str = ""
    board: Board = field(default_factory=Board)
    move: Move = "hand"
    teleop: str = ""
    poses: int = 15
    seed: int = 0
    speed_share: float = 0.15
    serials: str = ""
    out: str = ""
    pace: Pace = "realtime"
    terminal: str = ""

    def __post_init__(self) -> None:
        if not self.robot:
            raise ConfigError(mismatch("robot", "a name or the path of a YAML file", "nothing", "give --robot"))
        if self.move not in get_args(Move):
            raise ConfigError(mismatch("move", " or ".join(get_args(Move)), repr(self.move), "choose one"))
        if (self.move == "teleop") != bool(self.teleop) or self.teleop not in ("", *TELEOP_SOURCES):
            expected = f"{' or '.join(TELEOP_SOURCES)} with move teleop, nothing else"
            raise ConfigError(mismatch("teleop", expected, repr(self.teleop), f"correct it for move {self.move}"))


@dataclass(frozen=True)
class CalibrationPlan:
    """A graph and the robot it was made for."""

    robot: Robot
    options: CalibrationOptions
    specs: tuple[NodeSpec, ...]


def plan_calibration(options: CalibrationOptions) -> CalibrationPlan:
    """Read the descriptions and build their graph.

    Raises:
        ConfigError: a description is missing or wrong, or an option is meant for another robot.
    """
    options = replace(options, task=options.task or str(find(TASK)))
    robot, task = load_robot(options.robot), load_task(options.task)
    if robot.simulated and task.scene != "board":
        raise ConfigError(
            mismatch(f"task {task.name}: scene", "board", repr(task.scene), "copy config/calibration.yaml")
        )
    if options.pace == "lockstep" and not (robot.simulated and options.move == "drive"):
        raise ConfigError(f"pace lockstep needs a simulated robot and move drive, got {robot.name} and {options.move}")
    return CalibrationPlan(robot, options, _specs(robot, options))


def prepared(options: CalibrationOptions, picture_height: int, folder: Path) -> CalibrationOptions:
    """Return options that name descriptions written to ``folder``.

    The robot's has no older calibration in force. A twin's has pictures of that height, and the board on its table.
    """
    options = replace(options, task=options.task or str(find(TASK)))
    robot, task = load_robot(options.robot, calibrated=False), load_task(options.task)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "robot.yaml", with_pictures(robot, picture_height) if robot.simulated else robot)
    options = replace(options, robot=str(folder / "robot.yaml"))
    if not robot.simulated:
        return options
    _write(
        folder / "task.yaml", replace(task, scene_options={**task.scene_options, "board": board_text(options.board)})
    )
    return replace(options, task=str(folder / "task.yaml"))


def with_pictures(robot: Robot, height: int) -> Robot:
    """Return a twin whose cameras see as much, in larger pictures, more rarely."""
    cameras = tuple(
        replace(c, width=round(height * c.width / c.height), height=height, rate_hz=min(c.rate_hz, PICTURES_HZ))
        for c in robot.cameras
    )
    return replace(robot, cameras=cameras)


def _specs(robot: Robot, options: CalibrationOptions) -> tuple[NodeSpec, ...]:
    about_robot: dict[str, Value] = {"robot": options.robot, "use_sim_time": robot.simulated}
    about_task = {**about_robot, "task": options.task}
    calibration: dict[str, Value] = {
        **about_task,
        "board": board_text(options.board),
        "drive": options.move == "drive",
        "poses": options.poses,
        "seed": options.seed,
        "speed_share": options.speed_share,
        "serials": options.serials,
        "out": options.out,
    }
    line: dict[str, dict[str, Value]] = {
        "sim_robot": {**about_task, "seed": options.seed, "pace": options.pace},
        "calibration": calibration,
        "motion": {**about_task},
        "safety": {**about_robot},
    }
    if not robot.simulated:
        del line["sim_robot"]
    if options.pace == "lockstep":
        close_ring(line)
    if options.teleop:
        line["teleop"] = {**about_robot, "source": options.teleop, "terminal": options.terminal}
    return tuple(NodeSpec(name, name, params) for name, params in line.items())


def _write(path: Path, description: Robot | Task) -> None:
    path.write_text(yaml.safe_dump(to_data(description), sort_keys=False, allow_unicode=True), encoding="utf-8")
