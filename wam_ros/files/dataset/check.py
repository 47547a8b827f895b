# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a dataset, found without changing it; stricter than the readers that will open it.

Readers of the format do not notice wrong totals, sizes or statistics, and look for missing files on the
network. Everything here is held against the files themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from wam_ros.core.episode import EpisodeLayout, PictureStream
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.files.dataset.closing import Closed, read_description, read_stats_columns, video_place
from wam_ros.files.dataset.declaration import Declaration, difference, read_declaration
from wam_ros.files.dataset.disk import PART
from wam_ros.files.dataset.places import Places
from wam_ros.files.dataset.statistics import Stats, as_lists, of_values, together
from wam_ros.files.dataset.tables import DEFAULTS, info_of, read_table, schema_of, to_numpy
from wam_ros.files.dataset.video import codecs_beside, decode, last_frame_decodes, read_facts

#: Statistics are written with all their digits; sums in another order may differ by this.
_STATS_TOLERANCE = 1e-6
_TIME_TOLERANCE_S = 1e-4


class Examined(NamedTuple):
    """What an examination found.

    Attributes:
        problems: one sentence each; empty for a good dataset.
        episodes, frames: how many.
        seconds: their length.
        failures: episodes that are marked as failed.
        robot: whose they are; empty when that is not known.
    """

    problems: tuple[str, ...]
    episodes: int
    frames: int
    seconds: float
    failures: int
    robot: str


def examine(root: Path, expected: EpisodeLayout | None = None, *, deep: bool = False) -> Examined:
    """Look at every file of a dataset.

    Args:
        root: its folder.
        expected: what the task at hand needs; a dataset of another robot, rate, joint order or cameras is
            named. None: it is held against itself only.
        deep: also decode every picture, at some hundred pictures a second.
    """
    try:
        said = read_declaration(root)
    except DatasetError as error:
        return Examined((str(error),), 0, 0, 0.0, 0, "")
    return _Examination(Places(root), said).all(expected, deep)


class _Examination:
    def __init__(self, places: Places, said: Declaration) -> None:
        self._places, self._said, self._layout = places, said, said.layout
        self._problems: list[str] = []
        self._episodes: list[Closed] = []
        self._frames = 0

    def all(self, expected: EpisodeLayout | None, deep: bool) -> Examined:
        """Look at everything."""
        if expected is not None and (found := difference(self._layout, expected)):
            self._problems.append(f"{self._places.root}: {found}")
        self._note(self._leftovers)
        for index in range(self._places.count()):
            self._note(lambda index=index: self._episode(index, deep))  # type: ignore[misc]
        self._note(self._strays)
        self._note(self._totals)
        self._note(self._tasks)
        seconds = self._frames / self._layout.fps
        failures = sum(episode.success == "failure" for episode in self._episodes)
        return Examined(tuple(self._problems), len(self._episodes), self._frames, seconds, failures, self._said.robot)

    def _note(self, part: Callable[[], Iterator[str]]) -> None:
        try:
            self._problems.extend(part())
        except DatasetError as error:
            self._problems.append(str(error))

    # -- the whole -------------------------------------------------------------------------

    def _leftovers(self) -> Iterator[str]:
        for folder in sorted(self._places.open_folders.glob("[0-9]*")):
            yield f"{folder}: an episode that was never closed; record into this dataset again to recover it"
        for path in sorted(self._places.root.rglob(f"*{PART}")):
            yield f"{path}: a file that was never finished; record into this dataset again to remove it"

    def _strays(self) -> Iterator[str]:
        """Files that readers would take for episodes."""
        count = self._places.count()
        wanted = {self._places.data(i) for i in range(count)} | {self._places.episode(i) for i in range(count)}
        wanted |= {self._places.video(s.key, i) for s in self._layout.features for i in range(count)}
        found = [p for folder in ("data", "meta/episodes", "videos") for p in (self._places.root / folder).rglob("*.*")]
        for path in sorted(set(found) - wanted):
            if path.suffix in (".parquet", ".mp4"):
                yield f"{path}: belongs to no episode; an episode before it is missing, or remove it"

    def _totals(self) -> Iterator[str]:
        info, stats = _json(self._places.info), _json(self._places.stats)
        tasks = {task for episode in self._episodes for task in episode.tasks}
        right = info_of(self._layout, codecs_beside(self._said.color), len(self._episodes), self._frames, len(tasks))
        for key, value in right.items():
            if info.get(key) != value:
                yield f"{self._places.info}: {key}: {_first_difference(value, info.get(key))}"
        yield from _unequal_stats(self._places.stats, stats, as_lists(together([e.stats for e in self._episodes])))

    def _tasks(self) -> Iterator[str]:
        table = read_table(self._places.tasks)
        right = list(dict.fromkeys(task for episode in self._episodes for task in episode.tasks))
        pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
        if pandas.get("index_columns") != ["task"]:
            yield f"{self._places.tasks}: expected the pandas index task, got none; readers would show 0 as the task"
        if table["task"].to_pylist() != right or table["task_index"].to_pylist() != list(range(len(right))):
            yield mismatch(f"{self._places.tasks}: tasks", right, table["task"].to_pylist(), "restore it from a copy")

    # -- one episode -----------------------------------------------------------------------

    def _episode(self, index: int, deep: bool) -> Iterator[str]:
        path = self._places.episode(index)
        described = read_description(path)
        start, self._frames = self._frames, self._frames + described.length
        self._episodes.append(described)
        if described.index != index:
            yield mismatch(f"{path}: episode_index", index, described.index, "restore it")
        yield from _unequal_stats(path, as_lists(read_stats_columns(path)), as_lists(described.stats))
        for stream in self._layout.streams:
            try:
                yield from _video(self._places, stream, index, described.length, self._layout.fps, deep)
            except DatasetError as error:
                yield str(error)
        path = self._places.data(index)
        table = read_table(path)
        yield from (f"{path}: {text}" for text in _table(table, self._layout, described, start))


def _table(table: pa.Table, layout: EpisodeLayout, described: Closed, start: int) -> Iterator[str]:
    """What is wrong with the table of an episode."""
    schema = schema_of((*layout.columns, *DEFAULTS))
    if table.schema != schema:
        odd = [n for n in {*schema.names, *table.schema.names} if _type(schema, n) != _type(table.schema, n)]
        yield mismatch("columns", schema.names, f"others: {sorted(odd)}", "record it again")
        return
    if table.num_rows != described.length:
        yield mismatch("rows", described.length, table.num_rows, "restore it from a copy")
        return
    frame = np.arange(table.num_rows)
    right = {"frame_index": frame, "index": start + frame, "episode_index": np.full(len(frame), described.index)}
    for key, values in right.items():
        if not np.array_equal(to_numpy(table[key]), values):
            yield mismatch(key, f"{values[0]} to {values[-1]}", "others", "restore it from a copy")
    if np.abs(to_numpy(table["timestamp"]) - frame / layout.fps).max() > _TIME_TOLERANCE_S:
        yield mismatch("timestamp", f"frame_index / {layout.fps}", "others", "record it again")
    if (np.diff(to_numpy(table["stamp_ns"])) <= 0).any():
        yield mismatch("stamp_ns", "rising", "not rising", "record it again")
    yield from _values(table, layout, described.stats)


def _values(table: pa.Table, layout: EpisodeLayout, stats: Stats) -> Iterator[str]:
    for column in layout.columns:
        if column.dtype == "string":
            continue
        values = to_numpy(table[column.key]).reshape(table.num_rows, -1)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            yield mismatch(column.key, "finite numbers", "NaN or infinity", "record it again")
            continue
        right = as_lists({column.key: of_values(values)})
        yield from _unequal_stats(Path("stats"), as_lists({k: v for k, v in stats.items() if k == column.key}), right)


def _type(schema: pa.Schema, name: str) -> str:
    return str(schema.field(name).type) if name in schema.names else ""


def _video(places: Places, stream: PictureStream, index: int, length: int, fps: int, deep: bool) -> Iterator[str]:
    path = video_place(places, stream, index)
    facts = read_facts(path)
    remedy = "restore it from a copy"
    if len(facts.times_s) != length:
        yield mismatch(f"{path}: frames", length, len(facts.times_s), remedy)
    elif (
        stream.kind != "depth_archive"
        and np.abs(np.array(facts.times_s) - np.arange(length) / fps).max() > _TIME_TOLERANCE_S
    ):
        yield mismatch(f"{path}: times", f"frame / {fps}", "others", remedy)
    if (facts.height, facts.width) != (stream.height, stream.width):
        got = f"{facts.width}x{facts.height}"
        yield mismatch(f"{path}: size", f"{stream.width}x{stream.height}", got, remedy)
    if deep:
        seen = sum(1 for _ in decode(path, "rgb24" if stream.kind == "color" else facts.pixels))
        if seen != length:
            yield mismatch(f"{path}: frames that can be decoded", length, seen, remedy)
    elif facts.times_s and not last_frame_decodes(path, facts.times_s):
        yield f"{path}: its last frame cannot be decoded; {remedy}"


def _unequal_stats(
    path: Path, got: Mapping[str, Mapping[str, Any]], right: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for key in sorted({*right, *got}):
        of = got.get(key, {})
        for name, values in right.get(key, {"any": None}).items():
            if values is None or name not in of or not _close(of[name], values):
                yield mismatch(f"{path}: {name} of {key}", values, of.get(name), "the files were changed; restore them")


def _close(got: Any, right: Any) -> bool:
    a, b = np.asarray(got, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=_STATS_TOLERANCE, atol=_STATS_TOLERANCE))


def _first_difference(right: Any, got: Any) -> str:
    if isinstance(right, dict) and isinstance(got, dict):
        for key in [*right, *got]:
            if right.get(key) != got.get(key):
                return f"{key}: {_first_difference(right.get(key), got.get(key))}"
    return f"expected {right}, got {got}; the files were changed, restore them"


def _json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); record into this dataset again to rebuild it") from error
    return data
