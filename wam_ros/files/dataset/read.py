# SPDX-License-Identifier: Apache-2.0
"""Read episodes back: for training, replay and checks. Nothing is repaired and nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wam_ros.core.depth_codes import to_metres
from wam_ros.core.episode import ACTION, STATE, PictureStream
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.files.dataset.closing import Closed, read_description
from wam_ros.files.dataset.declaration import Declaration, read_declaration
from wam_ros.files.dataset.places import Places
from wam_ros.files.dataset.tables import read_table, to_numpy
from wam_ros.files.dataset.video import decode


class Recording:
    """One closed episode.

    Args:
        places: of its dataset.
        said: by the dataset of itself.
        described: by the file in ``meta/episodes``.
    """

    def __init__(self, places: Places, said: Declaration, described: Closed) -> None:
        self.described = described
        self._places, self._said = places, said

    def __len__(self) -> int:
        return self.described.length

    @cached_property
    def table(self) -> pa.Table:
        """All columns.

        Raises:
            DatasetError: missing, damaged, or not as long as described.
        """
        table = read_table(self._places.data(self.described.index))
        if table.num_rows != len(self):
            what = f"rows of episode {self.described.index}"
            raise DatasetError(mismatch(what, len(self), table.num_rows, "restore it from a copy"))
        return table

    def values(self, key: str) -> NDArray[Any]:
        """Return (N,) of a scalar column or (N, n) of a vector.

        Raises:
            DatasetError: there is no such column.
        """
        if key not in self.table.column_names:
            raise DatasetError(mismatch("column", ", ".join(self.table.column_names), key, "name one of them"))
        return to_numpy(self.table[key])

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of ``capture_time`` and ``skew``."""
        return self._said.layout.cameras

    @property
    def states(self) -> FloatArray:
        """(N, J) measured joints in robot order, grippers normalised."""
        return self.values(STATE).astype(np.float64)

    @property
    def actions(self) -> FloatArray:
        """(N, J) targets, each to be reached one period after its row."""
        return self.values(ACTION).astype(np.float64)

    @property
    def instructions(self) -> list[str]:
        """(N,) the task in words, row by row."""
        tasks = read_table(self._places.tasks)["task"].to_pylist()
        return [tasks[number] for number in self.values("task_index")]

    def pictures(self, camera: str) -> Iterator[ByteImage]:
        """Yield N pictures of a camera, (H, W, 3) uint8 RGB.

        Raises:
            DatasetError: no such camera, or the video is damaged or too short.
        """
        yield from self._decoded(self._stream(camera, "color"), "rgb24")

    def depths(self, camera: str) -> Iterator[DepthImage]:
        """Yield N depth pictures of a camera, (H, W) float32 [m], 0 where unknown; of 12 bits, slightly lossy.

        Raises:
            DatasetError: as :meth:`pictures`.
        """
        for codes in self._decoded(self._stream(camera, "depth"), "gray12le"):
            yield to_metres(codes)

    def archived_depths(self, camera: str) -> Iterator[NDArray[np.uint16]]:
        """Yield N depth pictures of a camera as they came, (H, W) [mm].

        Raises:
            DatasetError: as :meth:`pictures`.
        """
        stream = self._stream(camera, "depth_archive")
        yield from decode(self._places.archive(self.described.index) / f"{stream.key}.mkv", "gray16le")

    @property
    def archive(self) -> Path:
        """The folder of what arrived, as it came."""
        return self._places.archive(self.described.index)

    def _stream(self, camera: str, kind: str) -> PictureStream:
        streams = [s for s in self._said.layout.streams if s.kind == kind]
        for stream in streams:
            if stream.camera == camera:
                return stream
        raise DatasetError(mismatch(f"{kind} of camera", [s.camera for s in streams], camera, "name one of them"))

    def _decoded(self, stream: PictureStream, pixels: str) -> Iterator[NDArray[Any]]:
        path, count = self._places.video(stream.key, self.described.index), 0
        for picture in decode(path, pixels):
            yield picture
            count += 1
        if count != len(self):
            raise DatasetError(mismatch(f"{path}: frames", len(self), count, "restore it from a copy"))


class DatasetReader:
    """A dataset on disk, one that nobody changes while it is read.

    Args:
        root: its folder.

    Raises:
        DatasetError: it was not recorded here, or a description is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.said = read_declaration(root)
        self._places = Places(root)

    def __len__(self) -> int:
        return self._places.count()

    def __getitem__(self, index: int) -> Recording:
        if not 0 <= index < len(self):
            raise IndexError(index)
        described = read_description(self._places.episode(index))
        return Recording(self._places, self.said, described)

    def __iter__(self) -> Iterator[Recording]:
        return (self[index] for index in range(len(self)))


def episode_of(reader: DatasetReader, root: Path, number: int) -> Recording:
    """Return an episode by a number that a person has given.

    Raises:
        DatasetError: there is none.
    """
    if not 0 <= number < len(reader):
        raise DatasetError(mismatch(f"{root}: episode", f"0 to {len(reader) - 1}", number, "choose one of them"))
    return reader[number]
