# SPDX-License-Identifier: Apache-2.0
"""The folder of an episode that is still open: files that only grow, each readable up to wherever it ends.

episode.json      index, layout and codecs; on the disk before anything else
rows.arrow        the table, a batch at a time
<stream>.mkv      a frame for each row
<stream>.npy      how often each value occurred in the pictures
archive.mcap      messages as they came
ending.json       how it ended; only after everything else
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wam_ros.core.depth_codes import LARGEST_CODE, to_codes, to_millimetres
from wam_ros.core.episode import EpisodeLayout, PictureKind, PictureStream
from wam_ros.core.errors import WamError
from wam_ros.files.archive import ArchiveWriter, Message
from wam_ros.files.dataset.disk import put_json, size_bytes, sync_file
from wam_ros.files.dataset.lane import Lane
from wam_ros.files.dataset.statistics import SAMPLED_EVERY, Histogram
from wam_ros.files.dataset.tables import INSTRUCTION, schema_of, to_array
from wam_ros.files.dataset.video import Codec, VideoJournal
from wam_ros.files.load import to_data

ROWS, ARCHIVE, HEAD, ENDING = "rows.arrow", "archive.mcap", "episode.json", "ending.json"
#: Rows and messages that may wait for the disk or an encoder. A row of three cameras is a few megabytes.
ROOM_ROWS, ROOM_MESSAGES = 60, 4000


class OpenEpisode:
    """An episode that grows by rows, each with one picture of every stream.

    Args:
        folder: its own, new.
        index: the episode it will be.
        layout: of the dataset.
        codecs: kind of picture to codec.
        room: rows that may wait; more are refused.

    Attributes:
        rows: taken so far.
        refused: how often a row was not taken because the encoders or the disk are behind.
        unarchived: messages that were not taken for the same reason.
    """

    def __init__(
        self,
        folder: Path,
        index: int,
        layout: EpisodeLayout,
        codecs: Mapping[PictureKind, Codec],
        room: int = ROOM_ROWS,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder, self.index, self.rows = folder, index, 0
        self.refused = self.unarchived = 0
        self._layout = layout
        put_json(folder / HEAD, {"index": index, "layout": to_data(layout), "codecs": to_data(dict(codecs))})
        self._rows = _row_lane(folder, layout, room)
        self._streams = {s.key: _stream_lane(folder, s, codecs[s.kind], layout.fps, room) for s in layout.streams}
        archive = ArchiveWriter(folder / ARCHIVE)
        self._archive: Lane[tuple[Message, ...]] = Lane(
            "archive", archive.write_all, archive.sync, archive.close, ROOM_MESSAGES
        )
        self._lanes: tuple[Lane[Any], ...] = (self._rows, *self._streams.values(), self._archive)
        sync_file(folder)
        sync_file(folder.parent)

    @property
    def error(self) -> OSError | WamError | None:
        """What ended the writing of one of the files; what was written before is whole."""
        return next((lane.error for lane in self._lanes if lane.error is not None), None)

    @property
    def size_bytes(self) -> int:
        """What is on the disk so far."""
        return size_bytes(self.folder)

    def append(self, values: Mapping[str, Any], pictures: Mapping[str, NDArray[Any]], *, forced: bool = False) -> bool:
        """Take a row whole, or refuse it whole; does not wait.

        Args:
            values: column key to value, and ``instruction``.
            pictures: stream key to (H, W, 3) uint8 RGB, or (H, W) float32 depth [m] for both depth kinds.
            forced: take it even without room.
        """
        if not forced and not (self._rows.has_room and all(lane.has_room for lane in self._streams.values())):
            self.refused += 1
            return False
        self._rows.put(values)
        for key, lane in self._streams.items():
            lane.put(pictures[key])
        self.rows += 1
        return True

    def keep(self, *messages: Message) -> bool:
        """Take messages into the archive, or refuse them; does not wait. Together they need room for one."""
        if not self._archive.has_room:
            self.unarchived += len(messages)
            return False
        self._archive.put(messages)
        return True

    def finish(self, ending: Mapping[str, Any]) -> None:
        """Write what still waits, close the files, and say how it ended."""
        for lane in self._lanes:
            lane.finish()
        error = {"error": str(self.error)} if self.error else {}
        put_json(self.folder / ENDING, {**ending, **error})
        sync_file(self.folder)


def _row_lane(folder: Path, layout: EpisodeLayout, room: int) -> Lane[Mapping[str, Any]]:
    columns = (*layout.columns, INSTRUCTION)
    schema = schema_of(columns)
    file = (folder / ROWS).open("wb", buffering=0)
    writer = pa.ipc.new_stream(file, schema)
    waiting: list[Mapping[str, Any]] = []

    def sync() -> None:
        if waiting:
            arrays = [to_array(column, [values[column.key] for values in waiting]) for column in columns]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            waiting.clear()
        os.fsync(file.fileno())

    def close() -> None:
        writer.close()
        os.fsync(file.fileno())
        file.close()

    return Lane("rows", waiting.append, sync, close, room)


def _stream_lane(folder: Path, stream: PictureStream, codec: Codec, fps: int, room: int) -> Lane[NDArray[Any]]:
    path = folder / f"{stream.key}.mkv"
    journal = VideoJournal(path, codec, stream.height, stream.width, fps)
    histogram = Histogram(3, 256) if stream.kind == "color" else Histogram(1, LARGEST_CODE + 1)

    def write(picture: NDArray[Any]) -> None:
        native = _native(stream.kind, picture)
        if stream.kind != "depth_archive" and journal.frames % SAMPLED_EVERY == 0:
            histogram.add(native)
        journal.append(native)

    def sync() -> None:
        if stream.kind != "depth_archive":
            _save(folder / f"{stream.key}.npy", histogram)
        sync_file(path)

    def close() -> None:
        journal.close()
        sync_file(path)

    return Lane(stream.key, write, sync, close, room)


def _native(kind: PictureKind, picture: NDArray[Any]) -> NDArray[Any]:
    if kind == "color":
        return picture
    millimetres = to_millimetres(picture)
    return to_codes(millimetres) if kind == "depth" else millimetres


def _save(path: Path, histogram: Histogram) -> None:
    part = path.with_name(f"{path.name}.new")
    with part.open("wb") as file:
        np.save(file, np.concatenate([[histogram.pictures], histogram.counts.ravel()]), allow_pickle=False)
    part.replace(path)


def read_rows(folder: Path) -> pa.Table:
    """Return the rows of an open episode up to where the file ends."""
    batches: list[pa.RecordBatch] = []
    schema = None
    try:
        with pa.OSFile(str(folder / ROWS)) as file:
            reader = pa.ipc.open_stream(file)
            schema = reader.schema
            batches.extend(iter(partial(_next_batch, reader), None))
    except (OSError, pa.ArrowException):
        pass  # cut off here: what was read is what there is
    return pa.Table.from_batches(batches, schema) if schema is not None else pa.table({})


def _next_batch(reader: Any) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def read_histogram(folder: Path, stream: PictureStream) -> Histogram:
    """Return what is known of a stream's pictures; empty when nothing is."""
    histogram = Histogram(3, 256) if stream.kind == "color" else Histogram(1, LARGEST_CODE + 1)
    try:
        values = np.load(folder / f"{stream.key}.npy", allow_pickle=False)
        histogram.counts[:] = values[1:].reshape(histogram.counts.shape)
        histogram.pictures = int(values[0])
    except (OSError, ValueError, EOFError):
        pass  # written without waiting for the disk; the caller looks at the pictures instead
    return histogram


def read_head(folder: Path) -> dict[str, Any] | None:
    """Return index, layout and codecs; None when the episode did not get so far."""
    return read_json(folder / HEAD)


def read_ending(folder: Path) -> dict[str, Any] | None:
    """Return how the episode ended; None when nobody ended it."""
    return read_json(folder / ENDING)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None when it is missing or cut off."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data
