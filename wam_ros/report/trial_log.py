# SPDX-License-Identifier: Apache-2.0
"""The trials of an evaluation, written down one by one as they are made: one that was interrupted goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.trials.statistics import Trial
from wam_ros.report.evaluation import Failure, Kept, pictures_of, write_failure
from wam_ros.report.progress import Listener, Moment
from wam_ros.report.summary import Attempt, Setup, write_whole

LOG = "trials.jsonl"


class TrialLog:
    """A file of one line for what is evaluated, and one for each trial.

    Args:
        folder: of the evaluation; made when it does not exist.
        said: what tells this evaluation from others; plain data.

    Attributes:
        kept: the trials that were made before.

    Raises:
        ConfigError: the folder holds trials of another evaluation.
    """

    def __init__(self, folder: Path, said: Mapping[str, Any]) -> None:
        self._folder, self._path = folder, folder / LOG
        lines = _lines(self._path)
        if lines:
            _require_equal(str(folder), lines[0], json.loads(json.dumps(said)))
        self.kept = [_kept(line, folder) for line in lines[1:]]
        folder.mkdir(parents=True, exist_ok=True)
        # What a crash cut off in the middle of a line is left out from now on.
        write_whole(self._path, b"".join(_line(line) for line in (lines or [said])))

    def add(self, kept: Kept) -> None:
        """Write a trial down; when this returns, it is on the disk."""
        if kept.last is not None:
            write_failure(self._folder, kept.last)
        seen_s = kept.last.time_s if kept.last is not None else None
        line = {**vars(kept), "trial": {**vars(kept.trial), "stages": dict(kept.trial.stages)}, "last": seen_s}
        with self._path.open("ab") as file:
            file.write(_line({**line, "figures": dict(kept.figures)}))
            file.flush()
            os.fsync(file.fileno())


def said_before(folder: Path) -> Mapping[str, Any]:
    """Return what an evaluation in that folder was of; empty when there is none."""
    lines = _lines(folder / LOG)
    return lines[0] if lines else {}


class Handing:
    """A listener that hands each attempt on as soon as it is over.

    Args:
        listener: is told everything.
        on_attempt: is given the attempt and its number in the run, from 1.
    """

    def __init__(self, listener: Listener, on_attempt: Callable[[int, Attempt], None]) -> None:
        self._listener, self._on_attempt = listener, on_attempt

    def begins(self, setup: Setup) -> None:
        """A run begins."""
        self._listener.begins(setup)

    def waiting(self, what: str) -> None:
        """Something is awaited."""
        self._listener.waiting(what)

    def moment(self, moment: Moment) -> None:
        """The attempt goes on."""
        self._listener.moment(moment)

    def ended(self, number: int, attempt: Attempt) -> None:
        """An attempt is over."""
        self._on_attempt(number, attempt)
        self._listener.ended(number, attempt)


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, allow_nan=False).encode() + b"\n"


def _lines(path: Path) -> list[Any]:
    return list(_whole(path.read_bytes())) if path.exists() else []


def _whole(content: bytes) -> Iterator[Any]:
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield json.loads(line)


def _kept(line: Mapping[str, Any], folder: Path) -> Kept:
    trial = Trial(**line["trial"])
    last = None if line["last"] is None else Failure(trial, line["last"], pictures_of(folder, trial))
    return Kept(trial, line["latency_ms"], line["skew_ms"], line["figures"], last)


def _require_equal(place: str, before: Any, now: Any) -> None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            _require_equal(f"{place}: {key}", before.get(key), now.get(key))
    elif before != now:
        remedy = "these are trials of another evaluation; say the same as before, or choose another --out"
        raise ConfigError(mismatch(place, before, now, remedy))
