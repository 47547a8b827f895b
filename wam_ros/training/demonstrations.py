# SPDX-License-Identifier: Apache-2.0
"""Recorded datasets as training material: stitched by the policy node's own functions, decoded once.

Failed episodes are left out. So are, as beginnings of a window, the rows in which a demonstrator was misled, and what a
policy did in an attempt in which somebody had to take over: that is no example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wam_ros.core.card import VectorLayout
from wam_ros.core.episode import MISLED
from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.policy import Mosaic, Policy
from wam_ros.core.robot import Robot
from wam_ros.core.safety import POLICY
from wam_ros.core.seams import jerk_rms
from wam_ros.core.stitch import stitch
from wam_ros.core.types import ByteImage
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.dataset.declaration import Declaration
from wam_ros.files.dataset.fits import require_robot, require_views, require_whole
from wam_ros.files.dataset.read import DatasetReader, Recording
from wam_ros.models.params import FastWamParams
from wam_ros.training.data import Episode
from wam_ros.training.looks import AS_RECORDED, Looks
from wam_ros.training.material import Material
from wam_ros.vision.resize import resize

PICTURES = "pictures.npy"


@dataclass(frozen=True)
class Demonstrations:
    """Which demonstrations to learn from.

    Attributes:
        robot: whose they must be.
        policy: whose rate and mosaic the model will have.
        datasets: their folders.
        state_noise: standard deviation of what is added to the normalised state.
        most_episodes: of all datasets together; 0 for all.
        rows: what the model is asked for: where the joints shall be, or how far from where they are seen to be;
            grippers are absolute in both. Differences are finer where a task is small beside the reach of an arm.
        looks: how much the views that are learnt from look other than recorded, drawn anew each time.
        turns: how often windows are drawn that begin where somebody has just seen an error; others once.
    """

    robot: str
    policy: str
    datasets: tuple[str, ...] = ()
    state_noise: float = 0.02
    most_episodes: int = 0
    rows: Literal["joint_absolute", "joint_relative"] = "joint_absolute"
    looks: Looks = AS_RECORDED
    turns: int = 1

    def material(self, params: FastWamParams, execute_rows: int, folder: Path) -> Material:
        """Read them; decoded pictures stay in ``folder`` for the next time.

        Raises:
            ConfigError: robot or policy do not exist.
            DatasetError: what does not fit, by its name.
        """
        robot, policy = load_robot(self.robot), load_policy(self.policy)
        _check_model(params, execute_rows, policy)
        recordings, jerk = self.read(robot, policy)
        frames = cached_pictures(folder / PICTURES, recordings, policy.mosaic)
        episodes = list(_episodes(recordings, frames))
        names = ", ".join(Path(root).name for root in self.datasets)
        source = f"{len(episodes)} demonstrations, {len(frames)} rows, of {names}"
        state, action = VectorLayout("joint_absolute", robot.joint_names), VectorLayout(self.rows, robot.joint_names)
        relative = self.relative(robot)
        seen = self.looks, self.turns
        return Material(episodes, state, action, policy.mosaic, source, self.state_noise, jerk, relative, *seen)

    def relative(self, robot: Robot) -> tuple[bool, ...]:
        """Return (A,) where a row is the difference to the observed state; () for nowhere."""
        return () if self.rows == "joint_absolute" else tuple(not grip for grip in robot.gripper_mask)

    def read(self, robot: Robot, policy: Policy) -> tuple[list[Recording], float]:
        """Return the recordings that fit and succeeded, and the jerk of the arms in them [rad/s^3].

        Raises:
            ConfigError: ``turns`` is no number of times.
            DatasetError: what does not fit, by its name.
        """
        if self.turns < 1:
            raise ConfigError(mismatch("demonstrations: turns", "1 or more", self.turns, "give how often, 1 for once"))
        if not self.datasets:
            raise DatasetError("training: expected a dataset, got none; give one with --data")
        found: list[Recording] = []
        for root in self.datasets:
            place = Path(root).expanduser()
            reader = DatasetReader(place)
            _check_dataset(root, reader.said, robot, policy)
            require_whole(place)
            found += [recording for recording in reader if recording.described.success != "failure"]
        if not found:
            raise DatasetError(mismatch("training", "demonstrations that succeeded", "none", "record some"))
        recordings = found[: self.most_episodes or None]
        return recordings, _jerk_rms(recordings, robot, policy)


def _check_model(params: FastWamParams, execute_rows: int, policy: Policy) -> None:
    latent, mosaic = params.latent, policy.mosaic
    pairs = (
        ("rate_hz", policy.rate_hz, params.rate_hz),
        ("horizon", policy.horizon, params.horizon),
        ("execute_rows", policy.execute_rows, execute_rows),
        ("picture", (mosaic.height, mosaic.width), (latent.picture_height, latent.picture_width)),
    )
    for what, wanted, got in pairs:
        if wanted != got:
            raise DatasetError(mismatch(f"training for policy {policy.name}: {what}", wanted, got, "make them equal"))


def _check_dataset(root: str, said: Declaration, robot: Robot, policy: Policy) -> None:
    """Refuse a dataset of another robot, rate, order of joints, or without a camera."""
    remedy = "train on another dataset"
    require_robot(root, said, robot, remedy)
    require_views(root, said, policy.rate_hz, (cell.camera for cell in policy.mosaic.cells), remedy)


def _episodes(recordings: Sequence[Recording], frames: NDArray[np.uint8]) -> Iterator[Episode]:
    begin = 0
    for recording in recordings:
        end = begin + len(recording)
        prompt = recording.instructions[0]
        yield Episode(frames[begin:end], recording.states, recording.actions, prompt, examples_of(recording))
        begin = end


def examples_of(recording: Recording) -> NDArray[np.bool_]:
    """Return (N,) bool, False where a demonstrator was misled, or where a policy led until somebody took over."""
    sources = recording.values("control_source")
    helped = bool(set(sources) - {POLICY, ""})
    return np.array([source != MISLED and not (helped and source == POLICY) for source in sources])


def _jerk_rms(recordings: Sequence[Recording], robot: Robot, policy: Policy) -> float:
    """Return the jerk of the arms in what was demonstrated [rad/s^3]; it is what a motion can be measured against."""
    arms, step_s = ~np.array(robot.gripper_mask), 1 / policy.rate_hz
    squares = [jerk_rms(recording.actions[:, arms], step_s) ** 2 for recording in recordings if len(recording) > 3]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


def mosaics(recording: Recording, mosaic: Mosaic) -> Iterator[ByteImage]:
    """Yield the mosaic of each row, as the policy node would stitch it from these views."""
    cameras = [cell.camera for cell in mosaic.cells]
    for views in zip(*(recording.pictures(camera) for camera in cameras), strict=True):
        yield stitch(mosaic, dict(zip(cameras, views, strict=True)), resize)


def cached_pictures(path: Path, recordings: Sequence[Recording], mosaic: Mosaic) -> NDArray[np.uint8]:
    """Return (N, H, W, 3) mosaics of all rows, on the disk beside what they were made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mark, wanted = path.with_suffix(".json"), identity(recordings, mosaic)
    if not (mark.exists() and path.exists() and json.loads(mark.read_text(encoding="utf-8")) == wanted):
        mark.unlink(missing_ok=True)
        count = sum(len(recording) for recording in recordings)
        frames = open_memmap(path, "w+", np.uint8, (count, mosaic.height, mosaic.width, 3))
        rows = (picture for recording in recordings for picture in mosaics(recording, mosaic))
        for frame, picture in zip(frames, rows, strict=True):
            frame[:] = picture
        frames.flush()
        mark.write_text(json.dumps(wanted), encoding="utf-8")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def identity(recordings: Sequence[Recording], mosaic: Mosaic) -> str:
    """Return a hash that changes when rows or mosaic do."""
    digest = hashlib.sha256(repr(mosaic).encode())
    for recording in recordings:
        digest.update(np.ascontiguousarray(recording.values("stamp_ns")).tobytes())
        digest.update(np.ascontiguousarray(recording.states).tobytes())
    return digest.hexdigest()
