# SPDX-License-Identifier: Apache-2.0
"""From the journal of an open episode to the dataset: written aside, verified, named; the same way after a crash.

The episode exists from the moment at which its file in ``meta/episodes`` has its name. Everything before can
be done again, everything after follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wam_ros.core.episode import EpisodeLayout, PictureStream
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.files.archive import describe, is_finished, mend
from wam_ros.files.dataset import journal
from wam_ros.files.dataset.disk import part_of, publish, put, sync_names
from wam_ros.files.dataset.places import Places, chunk_and_file
from wam_ros.files.dataset.statistics import SAMPLED_EVERY, Stats, as_lists, from_lists, of_values
from wam_ros.files.dataset.tables import DEFAULTS, INSTRUCTION, read_table, schema_of, to_array, to_numpy, write_table
from wam_ros.files.dataset.video import copy_frames, decode, frame_times, last_frame_decodes, read_facts

ARCHIVE_NAME = "archive_0.mcap"
#: How an episode ended that nobody ended.
RECOVERED = "recovered"
#: The two hundred columns of statistics take three times as long to read as the same in one.
_OURS = ("episode_index", "length", "tasks", "success", "ended", "ledger", "statistics")


@dataclass(frozen=True)
class Closed:
    """What is known of an episode that is in the dataset.

    Attributes:
        index: its number.
        length: rows.
        tasks: texts, in order of appearance.
        stats: of its features.
        success: ``success``, ``failure`` or empty.
        ended: how.
        ledger: what was heard of each topic.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    stats: Stats
    success: str
    ended: str
    ledger: Mapping[str, Any]


def close_episode(
    places: Places, folder: Path, index: int, layout: EpisodeLayout, start: int, known_tasks: Sequence[str]
) -> Closed | None:
    """Move an episode from its journal into the dataset.

    Args:
        places: of the dataset.
        folder: the journal; left as it is. A video in it that is already what it shall be gets a second name.
        index: of the episode.
        layout: of the dataset.
        start: rows of all episodes before it.
        known_tasks: of all episodes before it.

    Returns:
        None when the journal holds not even one row; nothing was written then.

    Raises:
        DatasetError: the files do not hold what was written into them.
        OSError: the disk takes no more.
    """
    rows = journal.read_rows(folder)
    with ThreadPoolExecutor(thread_name_prefix="closing") as threads:
        shown = list(threads.map(frame_times, [folder / f"{stream.key}.mkv" for stream in layout.streams]))
        # Rows of which every picture is there: all of them, unless somebody pulled the plug or the disk was full.
        length = min([int(rows.num_rows), *map(len, shown)])
        if length == 0:
            return None
        # A journal that an error ended may lack its index: it is copied.
        whole = "error" not in (journal.read_ending(folder) or {"error": RECOVERED})
        close_video = partial(_close_video, places, folder, index, length, layout.fps)
        videos = threads.map(close_video, layout.streams, [times_s if whole else () for times_s in shown])
        ending, rows = _ending(folder, rows.num_rows - length), rows.slice(0, length)
        tasks = tuple(dict.fromkeys(rows[INSTRUCTION.key].to_pylist()))
        stats = _stats(folder, rows, layout)
        named = [_close_archive(places, folder, index), *videos]
    table = _finished_table(rows, layout, index, start, list(dict.fromkeys([*known_tasks, *tasks])))
    part = part_of(places.data(index))
    write_table(part, table)
    publish(part, places.data(index))
    sync_names([*named, places.data(index)], places.root)
    closed = Closed(index, length, tasks, stats, ending["success"], ending["ended"], ending["ledger"])
    write_description(places, closed, layout, start)
    return closed


def _ending(folder: Path, cut: int) -> dict[str, Any]:
    """How the episode ended, with what it lost by that."""
    ending = journal.read_ending(folder) or {"ended": RECOVERED}
    reasons = [ending["ended"], ending.get("error", ""), f"{cut} rows without pictures cut" if cut else ""]
    return {"success": "", "ledger": {}, **ending, "ended": "; ".join(reason for reason in reasons if reason)}


def _stats(folder: Path, rows: pa.Table, layout: EpisodeLayout) -> Stats:
    stats: Stats = {}
    for stream in layout.features:
        histogram = journal.read_histogram(folder, stream)
        if not histogram.pictures:
            for picture in islice(
                decode(folder / f"{stream.key}.mkv", _pixels(stream)), 0, rows.num_rows, SAMPLED_EVERY
            ):
                histogram.add(picture)
        stats[stream.key] = histogram.statistics()
    numeric = [column for column in layout.columns if column.dtype != "string"]
    for column in numeric:
        values = to_numpy(rows[column.key])
        stats[column.key] = of_values(values.reshape(rows.num_rows, -1))
    return stats


def _pixels(stream: PictureStream) -> str:
    return "rgb24" if stream.kind == "color" else "gray12le"


def _close_video(
    places: Places, folder: Path, index: int, length: int, fps: int, stream: PictureStream, times_s: Sequence[float]
) -> Path:
    """Give a video its place; ``times_s`` are its journal's if that is whole, else none."""
    journalled, final = folder / f"{stream.key}.mkv", video_place(places, stream, index)
    part = part_of(final)
    same = len(times_s) == length and final.suffix == journalled.suffix
    if not (same and _link(journalled, part)):
        copy_frames(journalled, part, length, fps)
        times_s = read_facts(part).times_s
    if len(times_s) != length or not last_frame_decodes(part, times_s):
        raise DatasetError(mismatch(f"{final}: frames", length, len(times_s), "look at the disk"))
    publish(part, final)
    return final


def _link(source: Path, target: Path) -> bool:
    """Let a file have a second name; False where the disk's format has no such thing."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def video_place(places: Places, stream: PictureStream, index: int) -> Path:
    """Return where a stream's video of an episode lies."""
    if stream.kind == "depth_archive":
        return places.archive(index) / f"{stream.key}.mkv"
    return places.video(stream.key, index)


def _close_archive(places: Places, folder: Path, index: int) -> Path:
    source, final = folder / journal.ARCHIVE, places.archive(index) / ARCHIVE_NAME
    if source.exists():
        part = part_of(final)
        if is_finished(source):
            source.replace(part)
        else:
            mend(source, part)
        publish(part, final)
    if final.exists():
        put(final.with_name("metadata.yaml"), describe(final).encode())
    return final


def _finished_table(rows: pa.Table, layout: EpisodeLayout, index: int, start: int, tasks: Sequence[str]) -> pa.Table:
    count = rows.num_rows
    frame = np.arange(count)
    of_task = {task: number for number, task in enumerate(tasks)}
    defaults = {
        "timestamp": (frame / layout.fps).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.full(count, index),
        "index": start + frame,
        "task_index": [of_task[task] for task in rows[INSTRUCTION.key].to_pylist()],
    }
    columns = [rows[column.key].combine_chunks() for column in layout.columns]
    columns += [to_array(column, defaults[column.key]) for column in DEFAULTS]  # type: ignore[arg-type]
    return pa.table(columns, schema=schema_of((*layout.columns, *DEFAULTS)))


def write_description(places: Places, closed: Closed, layout: EpisodeLayout, start: int) -> None:
    """Write the file that makes an episode part of the dataset."""
    values = dict(_description(closed, layout, start))
    part = part_of(places.episode(closed.index))
    write_table(part, pa.table({key: [value] for key, value in values.items()}))
    publish(part, places.episode(closed.index))
    sync_names([places.episode(closed.index)], places.root)


def _description(closed: Closed, layout: EpisodeLayout, start: int) -> Iterator[tuple[str, Any]]:
    where = chunk_and_file(closed.index)
    yield "episode_index", closed.index
    yield "tasks", list(closed.tasks)
    yield "length", closed.length
    yield from ((f"data/{key}", number) for key, number in where.items())
    yield "dataset_from_index", start
    yield "dataset_to_index", start + closed.length
    for stream in layout.features:
        yield from ((f"videos/{stream.key}/{key}", number) for key, number in where.items())
        yield f"videos/{stream.key}/from_timestamp", 0.0
        yield f"videos/{stream.key}/to_timestamp", closed.length / layout.fps
    for key, stats in closed.stats.items():
        for name, array in stats.items():
            yield f"stats/{key}/{name}", [int(v) for v in array] if name == "count" else array.tolist()
    yield from ((f"meta/episodes/{key}", number) for key, number in where.items())
    yield "success", closed.success
    yield "ended", closed.ended
    yield "ledger", json.dumps(closed.ledger, allow_nan=False)
    yield "statistics", json.dumps(as_lists(closed.stats), allow_nan=False)


def read_description(path: Path) -> Closed:
    """Return what the file of an episode says, from the few columns that are quick to read.

    Raises:
        DatasetError: it cannot be read, or lacks something.
    """
    row = read_table(path, _OURS).slice(0, 1).to_pylist()[0]
    missing = set(_OURS) - row.keys()
    if missing:
        raise DatasetError(f"{path}: no column {', '.join(sorted(missing))}; restore it from a copy")
    return Closed(
        index=row["episode_index"],
        length=row["length"],
        tasks=tuple(row["tasks"]),
        stats=from_lists(json.loads(row["statistics"])),
        success=row["success"],
        ended=row["ended"],
        ledger=json.loads(row["ledger"]),
    )


def read_stats_columns(path: Path) -> Stats:
    """Return the statistics as other readers of the format find them: a column for each.

    Raises:
        DatasetError: the file cannot be read.
    """
    stats: Stats = {}
    for key, value in read_table(path).slice(0, 1).to_pylist()[0].items():
        if key.startswith("stats/"):
            feature, name = key.removeprefix("stats/").rsplit("/", 1)
            stats.setdefault(feature, {})[name] = np.array(value, dtype=np.float64)
    return stats
