# SPDX-License-Identifier: Apache-2.0
"""What an operator does with a recorder: start, stop, discard, mark. Knows no ROS.

Only closing takes time; it is done by a thread, and the next episode waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.episode import EpisodeLayout, Row, values_of
from wam_ros.core.errors import DatasetError, WamError
from wam_ros.core.ledger import Ledger
from wam_ros.core.recording import RowMaker
from wam_ros.core.robot import Robot
from wam_ros.core.types import NS_PER_S, Observation
from wam_ros.files.archive import Message
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.journal import OpenEpisode
from wam_ros.files.dataset.preroll import PreRoll
from wam_ros.files.dataset.tables import INSTRUCTION

IDLE, RECORDING, CLOSING = "IDLE", "RECORDING", "CLOSING"
#: Rows that may wait for the encoders without pictures of their own.
MOST_OWED = 60
#: Observations that become rows at each new one, until a pre-roll has been caught up with.
CATCH_UP = 2
_Owed = tuple[dict[str, Any], dict[str, NDArray[Any]]]


class Session:
    """Records episodes into a dataset.

    Args:
        dataset: open; the session releases it at its end.
        robot: whose observations come.
        layout: of the dataset.
        periods_ns: stream to nominal period, for the ledger.
        preroll_ns: an episode begins so long before it is asked for; what came meanwhile is kept in memory.

    Attributes:
        rows: makes the rows of the open episode; told of chunks, commands and instructions by the caller.
        save_s: how long the last closing took.
        news: what happened last, for people.
        failed: the last closing did not succeed.
    """

    def __init__(
        self,
        dataset: Dataset,
        robot: Robot,
        layout: EpisodeLayout,
        periods_ns: Mapping[str, int],
        preroll_ns: int = 0,
    ) -> None:
        self.dataset, self.save_s, self.failed = dataset, 0.0, False
        self.news = "; ".join(dataset.recovered)
        self._robot, self._layout, self._periods_ns = robot, layout, dict(periods_ns)
        self.rows = RowMaker(robot.joint_names, round(NS_PER_S / layout.fps))
        self._waiting: deque[Observation] = deque()
        self._seen: PreRoll[Observation] = PreRoll(preroll_ns)
        self._heard: PreRoll[Message] = PreRoll(preroll_ns)
        self._sampled: PreRoll[tuple[str, int]] = PreRoll(preroll_ns)
        self._episode: OpenEpisode | None = None
        self._ledger, self._success = Ledger({}), ""
        self._depth_missing = self._repeated = 0
        self._last: dict[str, NDArray[Any]] = {}
        self._owed: list[_Owed] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="closing")
        self._job: Future[None] | None = None

    @property
    def state(self) -> str:
        """``IDLE``, ``RECORDING`` or ``CLOSING``."""
        if self._episode is not None:
            return RECORDING
        return CLOSING if self._job is not None and not self._job.done() else IDLE

    # -- what the operator does ------------------------------------------------------------

    def start(self, lasting: Iterable[Message] = ()) -> str:
        """Open the next episode.

        Args:
            lasting: what was said once and for all before the pre-roll; the archive begins with it.

        Raises:
            DatasetError: one is open or still being closed, or the disk is full.
            OSError: the disk takes no more.
        """
        if self.state != IDLE:
            raise DatasetError(f"recorder: is {self.state}; stop the episode, or wait until it is closed")
        self.rows = self.rows.renewed()
        self._ledger, self._success, self._last = Ledger(self._periods_ns), "", {}
        self._depth_missing = self._repeated = 0
        self._episode = self.dataset.begin()
        self._waiting = deque(self._seen.take())
        for stream, stamp_ns in self._sampled.take():
            self.sample(stream, stamp_ns)
        self.keep(*lasting, *self._heard.take())
        self.news = f"episode {self._episode.index}: recording"
        return self.news

    def stop(self, ended: str = "stopped") -> str:
        """End the episode; a thread closes it.

        Raises:
            DatasetError: none is open.
        """
        episode = self._opened()
        late = [row for seen in self._waiting for row in self._rows_of(seen)]
        self._owed += [self._entry(row) for row in (*late, *self.rows.finish())]  # the closing thread waits for room
        self._episode, owed, self._owed = None, self._owed, []
        ledger, success = self._account(episode, len(owed)), self._success
        said = f"episode {episode.index}: {ledger['rows']} rows, {ended}"  # the thread may be quick to say more
        self.news = said
        self._do(lambda: self._close(episode, owed, success, ended, ledger))
        return said

    def discard(self) -> str:
        """Throw the open episode away.

        Raises:
            DatasetError: none is open.
        """
        episode, self._episode, self._owed = self._opened(), None, []
        self._do(lambda: self.dataset.discard(episode))
        self.news = f"episode {episode.index}: discarded"
        return self.news

    def mark(self, success: bool) -> str:
        """Say whether the open episode succeeded, or else the one closed last.

        Raises:
            DatasetError: there is none.
        """
        word = "success" if success else "failure"
        if self._episode is not None:
            self._success = word
            self.news = f"episode {self._episode.index}: marked {word}"
            return self.news
        if self.state == IDLE and not self.dataset.episodes:
            raise DatasetError("recorder: expected an episode to mark, there is none; record one")
        self._do(lambda: self._mark_last(success, word))
        return f"the last episode is being marked {word}"

    def end(self) -> None:
        """Close what is open, wait for it, and release the dataset."""
        if self._episode is not None:
            self.stop("the recorder was ended")
        self.wait()
        self._thread.shutdown()
        self.dataset.release()

    def wait(self) -> None:
        """Wait for the closing that goes on."""
        if self._job is not None:
            self._job.result()

    # -- what is heard ---------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        """Take an observation; it becomes a row if an episode is open, or is begun soon."""
        if self._episode is None:
            self._seen.add(observation.stamp_ns, observation)
            return
        self._waiting.append(observation)
        for _ in range(min(CATCH_UP, len(self._waiting))):
            for row in self._rows_of(self._waiting.popleft()):
                self._append(self._episode, row)
        if self.rows.ended:
            self.stop(self.rows.ended)

    def sample(self, stream: str, stamp_ns: int) -> None:
        """Count a sample that was heard."""
        if self._episode is None:
            self._sampled.add(stamp_ns, (stream, stamp_ns))
        else:
            self._ledger.add(stream, stamp_ns)

    def keep(self, *messages: Message) -> None:
        """Take messages for the archive of the open episode, or of one that is begun soon."""
        for message in messages:
            if self._episode is None:
                self._heard.add(message.log_ns, message)
            else:
                self._ledger.add(message.topic, message.stamp_ns or message.log_ns)
        if self._episode is not None:
            self._episode.keep(*messages)

    def look(self) -> None:
        """Look at the disk and the encoders, a few times a second: an episode that cannot go on is ended."""
        episode = self._episode
        if episode is None:
            return
        if episode.error is not None:
            self.stop(f"ended by an error: {episode.error}")
        elif not self.dataset.has_space_for(episode):
            self.stop("disk full")
        elif len(self._owed) > MOST_OWED:
            self.stop("the encoders or the disk cannot keep up")

    def figures(self) -> dict[str, bool | int | float | str]:
        """Return how it goes, for diagnostics."""
        episode = self._episode
        return {
            "state": self.state,
            "episodes": len(self.dataset.episodes),
            "rows": episode.rows if episode else 0,
            "pictures_repeated": self._repeated,
            "messages_refused": episode.unarchived if episode else 0,
            "rows_filled": self.rows.filled,
            "save_s": self.save_s,
            "news": self.news,
        }

    # --------------------------------------------------------------------------------------

    def _rows_of(self, seen: Observation) -> list[Row]:
        for name, view in seen.views.items():
            self._ledger.skew(name, view.skew_ns)
        return self.rows.add(seen)

    def _opened(self) -> OpenEpisode:
        if self._episode is None:
            raise DatasetError(f"recorder: expected an open episode, it is {self.state}; start one")
        return self._episode

    def _append(self, episode: OpenEpisode, row: Row) -> None:
        """Hand a row over. When there is no room its pictures are given up, and those before it stand in for them."""
        values, pictures = self._entry(row)
        self._owed.append((values, pictures))
        while self._owed and episode.append(*self._owed[0]):
            self._last = self._owed.pop(0)[1]
        if self._owed:
            self._repeated += 1
            pictures = self._last = self._last or pictures  # the first row keeps its own
            self._owed[-1] = ({**values, "filled": True, "complete": False}, pictures)

    def _entry(self, row: Row) -> _Owed:
        values = {**values_of(row, self._robot, self._layout.cameras), INSTRUCTION.key: row.instruction}
        return values, self._pictures(row)

    def _pictures(self, row: Row) -> dict[str, NDArray[Any]]:
        pictures: dict[str, NDArray[Any]] = {}
        for stream in self._layout.streams:
            if stream.kind == "color":
                pictures[stream.key] = row.colors[stream.camera]
            elif stream.camera in row.depths:
                pictures[stream.key] = row.depths[stream.camera]
            else:
                self._depth_missing += 1
                pictures[stream.key] = np.zeros((stream.height, stream.width), np.float32)  # all unknown
        return pictures

    def _account(self, episode: OpenEpisode, owed: int) -> dict[str, Any]:
        counts = {
            "rows": episode.rows + owed,
            "pictures_repeated": self._repeated,
            "rows_filled": self.rows.filled,
            "holes": self.rows.holes,
            "crowded": self.rows.crowded,
            "depth_missing": self._depth_missing,
            "messages_refused": episode.unarchived,
        }
        return {**counts, "streams": self._ledger.figures()}

    def _close(
        self, episode: OpenEpisode, owed: Sequence[_Owed], success: str, ended: str, ledger: Mapping[str, Any]
    ) -> None:
        began_s = monotonic()
        for values, pictures in owed:
            episode.append(values, pictures, forced=True)
        closed = self.dataset.close(episode, success=success, ended=ended, ledger=ledger)
        self.save_s = monotonic() - began_s
        kept = f"{closed.length} rows, {closed.ended}" if closed else "no row came; nothing is kept"
        self.news = f"episode {episode.index}: {kept}"

    def _mark_last(self, success: bool, word: str) -> None:
        index = len(self.dataset.episodes) - 1
        self.dataset.mark(index, success)
        self.news = f"episode {index}: marked {word}"

    def _do(self, job: Callable[[], Any]) -> None:
        """Let the thread do it, after what it still has to do."""
        self._job = self._thread.submit(self._attempt, job)

    def _attempt(self, job: Callable[[], Any]) -> None:
        self.failed = False
        try:
            job()
        except (OSError, WamError) as error:
            self.failed, self.news = True, f"not closed: {error}; it will be finished at the next start"
