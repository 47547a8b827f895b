# SPDX-License-Identifier: Apache-2.0
"""Recorded datasets with depth as X-WAM's training material: views cut from the mosaic, depth at their size.

Pictures are stitched and cached as Fast-WAM's are; depth lies beside them in half precision, in metres.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.core.policy import Cell, Mosaic
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.dataset.read import Recording
from wam_ros.models.xwam.params import XWamParams
from wam_ros.training.demonstrations import Demonstrations, cached_pictures, examples_of, identity
from wam_ros.training.looks import AS_RECORDED, Looks
from wam_ros.training.synthetic import reach_episodes
from wam_ros.training.xwam_data import DeepEpisode
from wam_ros.vision.resize import resize_depth

PICTURES, DEPTHS = "pictures.npy", "depths.npy"


@dataclass(frozen=True)
class DeepMaterial:
    """Episodes with depth, and how their vectors and views are meant; see :class:`wam_ros.training.material.Material`."""

    episodes: Sequence[DeepEpisode]
    state: VectorLayout
    action: VectorLayout
    mosaic: Mosaic
    source: str
    state_noise: float = 0.0
    jerk_rms: float = 0.0
    relative: tuple[bool, ...] = ()
    looks: Looks = AS_RECORDED
    turns: int = 1


def deep_material(chosen: Demonstrations, params: XWamParams, execute_rows: int, folder: Path) -> DeepMaterial:
    """Read demonstrations with depth; decoded pictures stay in ``folder`` for the next time.

    Raises:
        ConfigError: robot or policy do not exist.
        DatasetError: what does not fit, by its name, or a dataset without depth.
    """
    robot, policy = load_robot(chosen.robot), load_policy(chosen.policy)
    _check_model(params, execute_rows, policy.mosaic, (policy.rate_hz, policy.horizon, policy.execute_rows))
    recordings, jerk_rms = chosen.read(robot, policy)
    frames = _views(cached_pictures(folder / PICTURES, recordings, policy.mosaic), policy.mosaic)
    depths = _cached_depths(folder / DEPTHS, recordings, policy.mosaic)
    episodes = list(_episodes(recordings, frames, depths))
    names = ", ".join(Path(root).name for root in chosen.datasets)
    source = f"{len(episodes)} demonstrations with depth, {len(frames)} rows, of {names}"
    state, action = VectorLayout("joint_absolute", robot.joint_names), VectorLayout(chosen.rows, robot.joint_names)
    relative, seen = chosen.relative(robot), (chosen.looks, chosen.turns)
    return DeepMaterial(episodes, state, action, policy.mosaic, source, chosen.state_noise, jerk_rms, relative, *seen)


def _check_model(params: XWamParams, execute_rows: int, mosaic: Mosaic, times: tuple[float, int, int]) -> None:
    latent = params.latent
    cells = {(cell.height, cell.width) for cell in mosaic.cells}
    pairs = (
        ("rate_hz, horizon, execute_rows", times, (params.rate_hz, params.horizon, execute_rows)),
        ("views", (len(mosaic.cells), cells), (params.views, {(latent.picture_height, latent.picture_width)})),
    )
    for what, wanted, got in pairs:
        if wanted != got:
            raise DatasetError(mismatch(f"training: {what}", wanted, got, "make model and policy equal"))


def _views(frames: NDArray[np.uint8], mosaic: Mosaic) -> NDArray[np.uint8]:
    """Return (N, V, H, W, 3) copies of the cells."""
    cells = [frames[:, c.top : c.top + c.height, c.left : c.left + c.width] for c in mosaic.cells]
    return np.stack(cells, axis=1)


def _episodes(
    recordings: Sequence[Recording], frames: NDArray[np.uint8], depths: NDArray[np.float16]
) -> Iterator[DeepEpisode]:
    begin = 0
    for recording in recordings:
        end = begin + len(recording)
        yield DeepEpisode(
            frames[begin:end],
            depths[begin:end],
            recording.states,
            recording.actions,
            recording.instructions[0],
            examples_of(recording),
        )
        begin = end


def _cached_depths(path: Path, recordings: Sequence[Recording], mosaic: Mosaic) -> NDArray[np.float16]:
    """Return (N, V, H, W) depth [m] of all rows, 0 where unknown, on the disk beside the pictures."""
    mark, wanted = path.with_suffix(".json"), identity(recordings, mosaic)
    if not (mark.exists() and path.exists() and mark.read_text(encoding="utf-8") == wanted):
        mark.unlink(missing_ok=True)
        count, cell = sum(len(recording) for recording in recordings), mosaic.cells[0]
        depths = open_memmap(path, "w+", np.float16, (count, len(mosaic.cells), cell.height, cell.width))
        rows = (row for recording in recordings for row in _depth_rows(recording, mosaic))
        for place, row in zip(depths, rows, strict=True):
            place[:] = row
        depths.flush()
        mark.write_text(wanted, encoding="utf-8")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _depth_rows(recording: Recording, mosaic: Mosaic) -> Iterator[NDArray[np.float32]]:
    """Yield (V, H, W) depth of each row."""
    streams = [recording.depths(cell.camera) for cell in mosaic.cells]
    for views in zip(*streams, strict=True):
        yield np.stack([resize_depth(d, c.height, c.width) for d, c in zip(views, mosaic.cells, strict=True)])


@dataclass(frozen=True)
class DeepSynthetic:
    """The synthetic set of :mod:`wam_ros.training.synthetic` seen from V sides, over a floor one metre away.

    The square lies 0.1 m, the disc 0.4 m above the floor; every other view is mirrored.
    """

    episodes: int
    length: int = 24
    seed: int = 0

    def material(self, params: XWamParams, name: str) -> DeepMaterial:
        """Make it."""
        p = params.latent
        flat = reach_episodes(params, self.episodes, self.seed, self.length)
        episodes = []
        for episode in flat:
            depth = np.where(episode.frames[..., 0] == 220, 0.6, np.where(episode.frames[..., 1] == 160, 0.9, 1.0))
            sides = [slice(None, None, 1 - 2 * (v % 2)) for v in range(params.views)]
            frames = np.stack([episode.frames[:, :, side] for side in sides], axis=1)
            depths = np.stack([depth[:, :, side] for side in sides], axis=1)
            episodes.append(DeepEpisode(frames, depths, episode.states, episode.actions, episode.prompt))
        cells = tuple(
            Cell(f"view{v}", 0, v * p.picture_width, p.picture_height, p.picture_width) for v in range(params.views)
        )
        mosaic = Mosaic(p.picture_height, params.views * p.picture_width, cells)
        layout = VectorLayout("joint_absolute", tuple(f"x{i}" for i in range(params.action_dim)))
        return DeepMaterial(episodes, layout, layout, mosaic, f"synthetic set with depth, {name}")
