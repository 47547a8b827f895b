# SPDX-License-Identifier: Apache-2.0
"""``wam replay``: a recorded episode as live topics, or a policy asked what it would have done in it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.environment import additions
from wam_ros.files.assets import load_policy, load_robot, load_task, names
from wam_ros.files.load import to_data

if TYPE_CHECKING:
    from wam_ros.files.dataset.declaration import Declaration
    from wam_ros.policies.open_loop import Answer

OK = 0
#: Beside the checkpoint that was asked.
RESULT = "open_loop.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wam replay``."""
    add = parser.add_argument
    add("dataset", type=Path, help="its folder")
    add("--robot", default="", help="name or YAML path (default: as the dataset says)")
    live = parser.add_argument_group("as live topics")
    live.add_argument("--episode", type=int, default=0, help="its number (default: 0)")
    live.add_argument("--pace", default="realtime", choices=["realtime", "lockstep"], help="default: realtime")
    live.add_argument("--after", default="policy", metavar="NODE", help="last node of the ring in lockstep")
    live.add_argument("--robot-out", type=Path, metavar="FILE", help="write the robot with its cameras as recorded")
    asked = parser.add_argument_group("asking a policy, without ROS")
    asked.add_argument("--policy", default="", help="name or YAML path: compare its chunks with what was recorded")
    asked.add_argument("--task", default="", help="name or YAML path (default: the one with this instruction)")
    asked.add_argument("--episodes", default="", help="as in 0-9,12 (default: all that did not fail)")
    asked.add_argument("--stride", type=int, default=0, help="rows between questions (default: the policy's own)")
    asked.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in policy.checkpoint=FOLDER")
    asked.add_argument("--json", type=Path, metavar="FILE", help=f"default: {RESULT} beside the checkpoint")


def command(options: argparse.Namespace) -> int:
    """Run ``wam replay``; return the exit code.

    Raises:
        WamError: what does not fit, and the remedy.
    """
    from wam_ros.files.dataset.declaration import read_declaration

    said = read_declaration(options.dataset)
    robot = load_robot(options.robot or said.robot)
    os.environ.update(additions(os.environ, simulated=robot.simulated))
    return _ask(options, robot) if options.policy else _play(options, said, robot)


# -- live topics ---------------------------------------------------------------------------


def _play(options: argparse.Namespace, said: Declaration, robot: Robot) -> int:
    described = options.robot or said.robot
    if options.robot_out:
        text = yaml.safe_dump(to_data(as_recorded(robot, said)), sort_keys=False, allow_unicode=True)
        _write(options.robot_out, text)
        described = str(options.robot_out)
    from wam_ros.files.dataset.playback import require_same_robot
    from wam_ros.files.dataset.read import DatasetReader, episode_of

    require_same_robot(options.dataset, said, load_robot(described))
    episode_of(DatasetReader(options.dataset), options.dataset, options.episode)
    from wam_ros.nodes.replay import play

    given = {"robot": described, "dataset": str(options.dataset), "episode": options.episode, "pace": options.pace}
    return play({**given, "lockstep_after": options.after if options.pace == "lockstep" else ""})


def as_recorded(robot: Robot, said: Declaration) -> Robot:
    """Return the robot with those of its cameras that were recorded, in their recorded sizes and rate."""
    colors = {stream.camera: stream for stream in said.layout.streams if stream.kind == "color"}
    deep = {stream.camera for stream in said.layout.streams if stream.kind != "color"}
    cameras = []
    for camera in robot.cameras:
        if found := colors.get(camera.name):
            depth, rate_hz = camera.depth if camera.name in deep else "", float(said.layout.fps)
            cameras.append(replace(camera, height=found.height, width=found.width, rate_hz=rate_hz, depth=depth))
    return replace(robot, cameras=tuple(cameras))


# -- asking a policy -----------------------------------------------------------------------


def _ask(options: argparse.Namespace, robot: Robot) -> int:
    from wam_ros.files.card import checkpoint_folder
    from wam_ros.files.identity import identity_of
    from wam_ros.overrides import parse, with_values
    from wam_ros.policies.open_loop import ask

    changes = [parse(text) for text in options.set]
    if others := [change.place for change in changes if change.place != "policy"]:
        raise ConfigError(mismatch("--set", "policy.KEY=VALUE", others[0], "change only the policy here"))
    policy = load_policy(options.policy)
    policy = with_values(policy, changes) if changes else policy
    if options.stride < 0:
        raise ConfigError(mismatch("--stride", "1 or more", options.stride, "give a positive number"))
    task = _task(options)
    answer = ask(options.dataset, numbers(options.episodes), robot, task, policy, options.stride)
    _show(answer, policy)
    data = {
        "dataset": options.dataset.resolve().name,
        "episodes": options.episodes or "all that did not fail",
        "policy": policy.name,
        **identity_of(robot, task, policy),
        **data_of(answer),
    }
    place = options.json or (checkpoint_folder(policy) / RESULT if policy.checkpoint else None)
    if place:
        _write(place, json.dumps(data, indent=1) + "\n")
    return OK


def numbers(text: str) -> list[int]:
    """Return the numbers of ``0-9,12``.

    Raises:
        ConfigError: it is not of that form.
    """
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or int(last) < int(first):
            raise ConfigError(mismatch("--episodes", "numbers as in 0-9,12", repr(text), "correct it"))
        found += range(int(first), int(last) + 1)
    return found


def data_of(answer: Answer) -> dict[str, Any]:
    """Return the figures of a policy beside those of keeping the pose."""
    parts = {"policy": answer.policy, "hold": answer.hold}
    return {
        "questions": len(answer.policy),
        "arms_rad": {name: part.arms() for name, part in parts.items()},
        "grippers_opening": {name: part.grippers() for name, part in parts.items()},
        "tools_m": {name: part.tools() for name, part in parts.items()},
        "joints": {name: part.joints() for name, part in parts.items()},
    }


def _task(options: argparse.Namespace) -> Task:
    """Return the task whose instruction was recorded.

    Raises:
        ConfigError: another one was given, or none has it.
    """
    from wam_ros.files.dataset.read import DatasetReader

    said = sorted({sentence for recording in DatasetReader(options.dataset) for sentence in recording.described.tasks})
    if not said:
        raise DatasetError(mismatch(f"{options.dataset}: episodes", "one or more", "none", "record some"))
    tasks = [load_task(name) for name in ([options.task] if options.task else names("tasks"))]
    for task in tasks:
        if task.instruction in said:
            return task
    wanted = f"the instruction of task {tasks[0].name}" if options.task else "the instruction of a known task"
    raise ConfigError(mismatch(f"{options.dataset}: recorded", wanted, said, "give the right one with --task"))


def _show(answer: Answer, policy: Policy) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    title = f"{policy.name}: distance from what was recorded, {len(answer.policy)} questions"
    table = Table(Column("joint", no_wrap=True), "first row", "p95", "horizon", "p95", "hold", "horizon", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    policies, holds = answer.policy.joints(), answer.hold.joints()
    for name, figures in policies.items():
        table.add_row(name, *_cells(figures, holds[name]))
    table.add_section()
    table.add_row(escape("arms [rad]"), *_cells(answer.policy.arms(), answer.hold.arms()))
    table.add_row(escape("grippers [opening]"), *_cells(answer.policy.grippers(), answer.hold.grippers()))
    for name, figures in answer.policy.tools().items():
        table.add_row(escape(f"{name} tool [m]"), *_cells(figures, answer.hold.tools()[name]))
    Console(highlight=False).print(table)


def _cells(found: Mapping[str, float], hold: Mapping[str, float]) -> Sequence[str]:
    keys = ("first_mean", "first_p95", "horizon_mean", "horizon_p95")
    return [f"{x:.4f}" for x in (*(found[key] for key in keys), hold["first_mean"], hold["horizon_mean"])]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
