# SPDX-License-Identifier: Apache-2.0
"""A copy of a dataset in LeRobot's older format v2.1, for trainers that have not moved on.

Videos are linked where the disk can, else copied; nothing is encoded again. The archive stays where it is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from wam_ros.core.errors import ConfigError
from wam_ros.files.dataset.fits import require_whole
from wam_ros.files.dataset.places import CHUNK_FILES, Places
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.statistics import as_lists
from wam_ros.files.dataset.tables import read_table, write_table

DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def export_v21(source: Path, target: Path) -> int:
    """Write the dataset ``source`` as v2.1 into the new folder ``target``; return the number of episodes.

    Raises:
        DatasetError: the source has a problem; nothing is written then.
        ConfigError: the target exists.
    """
    if target.exists():
        raise ConfigError(f"{target}: exists; choose a new folder")
    require_whole(source)
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    reader, places = DatasetReader(source), Places(source)
    keys = [stream.key for stream in reader.said.layout.features]
    for recording in reader:
        index = recording.described.index
        where = {"episode_chunk": index // CHUNK_FILES, "episode_index": index}
        table = part / DATA_PATH.format(**where)
        table.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, recording.table)
        for key in keys:
            _link(places.video(key, index), part / VIDEO_PATH.format(video_key=key, **where))
    _write_descriptions(part / "meta", reader, places, len(keys))
    part.replace(target)
    return len(reader)


def _write_descriptions(folder: Path, reader: DatasetReader, places: Places, videos: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    closed = [recording.described for recording in reader]
    tasks = read_table(places.tasks)["task"].to_pylist()
    _write_lines(folder / "tasks.jsonl", ({"task_index": n, "task": task} for n, task in enumerate(tasks)))
    _write_lines(
        folder / "episodes.jsonl",
        ({"episode_index": e.index, "tasks": list(e.tasks), "length": e.length} for e in closed),
    )
    deep = {stream.key for stream in reader.said.layout.features if stream.kind == "depth"}
    stats = ({"episode_index": e.index, "stats": _of_three_channels(as_lists(e.stats), deep)} for e in closed)
    _write_lines(folder / "episodes_stats.jsonl", stats)
    info = json.loads(places.info.read_text(encoding="utf-8"))
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        del info[key]
    info |= {"codebase_version": "v2.1", "data_path": DATA_PATH, "video_path": VIDEO_PATH}
    info |= {"total_videos": videos * len(closed), "total_chunks": -(-len(closed) // CHUNK_FILES)}
    (folder / "info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _of_three_channels(stats: Mapping[str, Mapping[str, Any]], keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return statistics in which pictures of one channel have three: v2.1 knows no others, and shows grey as colour."""
    return {
        key: {name: value * 3 if key in keys and name != "count" else value for name, value in of_key.items()}
        for key, of_key in stats.items()
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)
