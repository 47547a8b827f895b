# SPDX-License-Identifier: Apache-2.0
"""The tables of a dataset as Arrow schemas, and what ``info.json`` says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wam_ros.core.depth_codes import FARTHEST_M, NEAREST_M, SHIFT_M
from wam_ros.core.episode import Column, EpisodeLayout, PictureKind, PictureStream
from wam_ros.core.errors import DatasetError
from wam_ros.files.dataset.places import CHUNK_FILES, DATA_PATH, VIDEO_PATH
from wam_ros.files.dataset.video import Codec

#: Columns of every LeRobot table, after the dataset's own.
DEFAULTS = (
    Column("timestamp", "float32"),
    Column("frame_index", "int64"),
    Column("episode_index", "int64"),
    Column("index", "int64"),
    Column("task_index", "int64"),
)
INSTRUCTION = Column("instruction", "string")
VERSION = "v3.0"
_TYPES = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema: scalars, and lists of a fixed size for vectors of more than one element."""
    return pa.schema([pa.field(column.key, _arrow_type(column)) for column in columns])


def _arrow_type(column: Column) -> pa.DataType:
    width = len(column.names)
    return _TYPES[column.dtype] if width <= 1 else pa.list_(_TYPES[column.dtype], width)


def to_array(column: Column, values: Sequence[Any]) -> pa.Array:
    """Return an Arrow array of one column's values."""
    kind, width = _TYPES[column.dtype], len(column.names)
    if column.dtype == "string":
        return pa.array(values, kind)
    flat = np.asarray(values, dtype=column.dtype).reshape(len(values), -1)
    if flat.shape[1] != max(width, 1):
        raise DatasetError(f"column {column.key}: expected {max(width, 1)} values in a row, got {flat.shape[1]}")
    elements = pa.array(flat.ravel(), kind)
    return elements if width <= 1 else pa.FixedSizeListArray.from_arrays(elements, width)


def to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return (N,) of a scalar column, (N, n) of a vector column; strings as objects."""
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        flat = np.concatenate([c.flatten().to_numpy(zero_copy_only=False) for c in column.chunks] or [np.zeros(0)])
        return flat.reshape(-1, width)
    return np.asarray(column.to_numpy())


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file, or those of the columns that it has.

    Raises:
        DatasetError: it is missing or not one.
    """
    try:
        return pq.ParquetFile(path).read(None if columns is None else list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: cannot be read ({reason}); restore it from a copy") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file as LeRobot does: Snappy, dictionaries."""
    pq.write_table(table, path, compression="snappy", use_dictionary=True)


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Return the table of tasks; readers take the text from the pandas index named ``task``."""
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None},
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }  # fmt: skip
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def info_of(
    layout: EpisodeLayout, codecs: Mapping[PictureKind, Codec], episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    """Return the content of ``info.json``."""
    features = {c.key: _feature(c) for c in (*layout.columns, *DEFAULTS)}
    videos = {s.key: _video_feature(s, codecs[s.kind], layout.fps) for s in layout.features}
    return {
        "codebase_version": VERSION,
        "robot_type": layout.robot_type,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": layout.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": {**videos, **features},
    }


def _feature(column: Column) -> dict[str, Any]:
    return {"dtype": column.dtype, "shape": [max(len(column.names), 1)], "names": list(column.names) or None}


def _video_feature(stream: PictureStream, codec: Codec, fps: int) -> dict[str, Any]:
    channels = 3 if stream.kind == "color" else 1
    deep = stream.kind == "depth"
    info: dict[str, Any] = {
        "video.height": stream.height,
        "video.width": stream.width,
        "video.codec": codec.name,
        "video.pix_fmt": codec.pixels,
        "video.fps": fps,
        "video.channels": channels,
        "has_audio": False,
        "is_depth_map": deep,
        "video.is_depth_map": deep,
        **{f"video.{name}": codec.options[name] for name in ("g", "crf", "preset") if name in codec.options},
    }
    if deep:
        info |= {"video.depth_min": NEAREST_M, "video.depth_max": FARTHEST_M, "video.shift": SHIFT_M}
        info |= {"video.use_log": True, "depth_unit": "mm"}
    shape = [stream.height, stream.width, channels]
    return {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"], "info": info}
