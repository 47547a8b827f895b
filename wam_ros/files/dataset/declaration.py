# SPDX-License-Identifier: Apache-2.0
"""``meta/wam_ros.json``: what LeRobot's format has no place for. Robot, grippers' calibration, layout, codec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wam_ros import __version__
from wam_ros.core.episode import EpisodeLayout
from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.files.dataset.journal import read_json
from wam_ros.files.dataset.places import Places
from wam_ros.files.dataset.video import Codec
from wam_ros.files.load import from_data, to_data


@dataclass(frozen=True)
class Ends:
    """A driver's values of a closed and an open gripper."""

    closed_native: float
    open_native: float


@dataclass(frozen=True)
class Declaration:
    """What a dataset says of itself.

    Attributes:
        version: of this package, when the dataset was made.
        robot, description: whose episodes these are.
        leader_camera: whose frames give the rows.
        grippers: joint to the calibration behind the normalised openings.
        layout: of every episode.
        color: codec of the colour videos.
    """

    version: str
    robot: str
    description: str
    leader_camera: str
    grippers: dict[str, Ends]
    layout: EpisodeLayout
    color: Codec


def declaration_of(robot: Robot, layout: EpisodeLayout, color: Codec) -> dict[str, Any]:
    """Return the content of the file."""
    grips = [arm.gripper for arm in robot.arms]
    ends = {grip.joint: Ends(float(grip.closed_native), float(grip.open_native)) for grip in grips}
    said = Declaration(__version__, robot.name, robot.description, robot.leader_camera, ends, layout, color)
    data: dict[str, Any] = to_data(said)
    return data


def read_declaration(root: Path) -> Declaration:
    """Return what a dataset says of itself.

    Raises:
        DatasetError: it says nothing, or nothing that can be read.
    """
    path = Places(root).ours
    data = read_json(path)
    if data is None:
        raise DatasetError(f"{path}: expected the description of a recording, got nothing; record it with wam_ros")
    try:
        return from_data(Declaration, data, str(path))
    except ConfigError as error:
        raise DatasetError(str(error)) from error


def difference(recorded: EpisodeLayout, wanted: EpisodeLayout) -> str:
    """Return in words what differs between two layouts, the most telling first; empty when nothing does."""
    if recorded.robot_type != wanted.robot_type:
        return mismatch("robot", wanted.robot_type, recorded.robot_type, "this is another robot's dataset")
    if recorded.fps != wanted.fps:
        return mismatch("rate", f"{wanted.fps} fps", f"{recorded.fps} fps", "this is a dataset of another rate")
    differing = _differing_column(recorded, wanted)
    if differing:
        return differing
    ours, theirs = ({s.key: s for s in layout.streams} for layout in (wanted, recorded))
    for key in [*ours, *theirs]:
        if ours.get(key) != theirs.get(key):
            return mismatch(f"pictures {key}", ours.get(key), theirs.get(key), "these are other cameras")
    return ""


def _differing_column(recorded: EpisodeLayout, wanted: EpisodeLayout) -> str:
    ours, theirs = ({c.key: c for c in layout.columns} for layout in (wanted, recorded))
    for key in [*ours, *theirs]:
        want, got = ours.get(key), theirs.get(key)
        if want is None or got is None:
            return mismatch(f"column {key}", "in both", "in one only", "these are other contents")
        if want.names != got.names:
            return mismatch(f"column {key}: order of names", want.names, got.names, "these are other joints")
        if want != got:
            return mismatch(f"column {key}", want.dtype, got.dtype, "these are other contents")
    return ""
