# SPDX-License-Identifier: Apache-2.0
"""The one thread in which a backend lives: it loads, warms up, infers and closes there, and nowhere else.

The executor of the policy node never waits for it. It hands over one request at a time, is told when
something has changed, and takes the chunk when it is due. A backend that dies poisons its worker.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np

from wam_ros.core.errors import BackendError, WamError, mismatch
from wam_ros.core.imagination import Imagination
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import Chunk
from wam_ros.policies.base import Backend, Imaginative, Request, Telling

T = TypeVar("T")
# A model may stumble over one odd picture; three failures in a row are a broken model.
FAILURES_TO_DIE = 3
# So many inferences after warm-up say how long one takes, before the first one counts.
REHEARSALS = 5
# Enough for a p95, and it follows a machine that becomes slower within minutes.
LATENCIES_KEPT = 256


class Mailbox(Generic[T]):
    """One slot: the newest wins, and what it pushed out is counted."""

    def __init__(self) -> None:
        self.dropped = 0
        self._content: T | None = None

    @property
    def newest(self) -> T | None:
        """The content, if any, left where it is."""
        return self._content

    def put(self, content: T) -> None:
        """Put in the newest, in place of what is still there."""
        self.dropped += self._content is not None
        self._content = content

    def take(self) -> T | None:
        """Return the content, if any, and empty the slot."""
        content, self._content = self._content, None
        return content


class Phase(Enum):
    """Where in its life the worker is."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


class Worker:
    """Run one backend in a thread of its own.

    Args:
        backend: not yet loaded.
        policy, robot, task: what it is loaded with.
        on_change: called *in the worker's thread* when it became ready, finished a request, or died;
            usually a guard condition's trigger.
        approve: called in that thread before the worker is ready, with the 95th percentile [s] of
            ``REHEARSALS`` inferences after warm-up; what it raises poisons the worker.

    Attributes:
        phase: where in its life it is.
        error: why it died, or what went wrong last; None if all is well.
        inferences: requests answered with a chunk, warm-up excluded.
        failures: requests that could not be answered.
        listening: somebody wants to see what the backend imagines; while False nothing is computed for it.
        imagined: the newest of it that nobody has taken, see :class:`Imaginative`.
    """

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        robot: Robot,
        task: Task,
        *,
        on_change: Callable[[], None],
        approve: Callable[[float], None] | None = None,
    ) -> None:
        self.phase = Phase.LOADING
        self.error: WamError | None = None
        self.inferences = self.failures = 0
        self.listening = False
        self.imagined: Mailbox[Imagination] = Mailbox()
        self._backend, self._policy, self._robot, self._task = backend, policy, robot, task
        self._on_change, self._approve = on_change, approve
        self._changed = threading.Condition()
        self._request: Request | None = None
        self._chunk: Chunk | None = None
        self._finished = False
        self._reset_due, self._closing = False, False
        self._failures_in_a_row = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._thread = threading.Thread(target=self._live, name=f"backend-{policy.name}", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """True when a request may be submitted."""
        return self.phase is Phase.READY and self._request is None

    @property
    def finished(self) -> bool:
        """True when the request is answered (or has failed) and waits to be taken."""
        return self._finished

    @property
    def at_work(self) -> bool:
        """True while an answer is still to come."""
        return self.phase is Phase.READY and self._request is not None and not self._finished

    @property
    def capture_ns(self) -> int | None:
        """Capture time of the request in work or waiting to be taken."""
        request = self._request
        return None if request is None else request.observation.stamp_ns

    @property
    def latency_ms(self) -> float:
        """Time of the newest inference; 0 before the first."""
        return self._latencies_ms[-1] if self._latencies_ms else 0.0

    def latency_percentile_ms(self, percent: float) -> float:
        """Return a percentile of the recent inference times, warm-up excluded; 0 before the first."""
        latencies = list(self._latencies_ms)
        return float(np.percentile(latencies, percent)) if latencies else 0.0

    def figures(self) -> dict[str, float]:
        """Return the backend's own figures, if it has any."""
        return self._backend.figures() if isinstance(self._backend, Telling) else {}

    def submit(self, request: Request) -> None:
        """Start an inference.

        Raises:
            BackendError: the worker is not idle.
        """
        with self._changed:
            if not self.idle:
                raise BackendError(mismatch("worker", "idle", self.phase.value, "take the last chunk first"))
            self._request, self._finished, self._chunk = request, False, None
            self._changed.notify_all()

    def take(self) -> Chunk | None:
        """Return the finished chunk and become idle; None if there is none or the inference failed."""
        with self._changed:
            if not self._finished:
                return None
            chunk, self._chunk = self._chunk, None
            self._request, self._finished = None, False
            return chunk

    def reset(self) -> None:
        """Start a new attempt: the backend forgets, and what it still works on is thrown away."""
        with self._changed:
            self._request, self._finished, self._chunk = None, False, None
            self._reset_due = True
            self._changed.notify_all()

    def close(self, timeout_s: float = 4.0) -> bool:
        """End the thread after the inference that runs; return False if that takes longer than the timeout."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        """The thread: whatever ends it before `close` is kept as the error that poisons the worker."""
        error: WamError | None = BackendError(f"backend {self._policy.backend} broke down; its traceback is in the log")
        try:
            self._backend.load(self._policy, self._robot, self._task)
            self._backend.warm_up()
            if self._approve is not None:
                self._approve(self._rehearse_s())
            self.phase = Phase.READY
            self._tell()
            while (request := self._next()) is not None:
                self._answer(request)
                self._imagine()
            error = None
        except WamError as known:
            error = known
        finally:
            self.error = error
            self.phase = Phase.FAILED if error else Phase.CLOSED
            self._tell()
            self._backend.close()

    def _rehearse_s(self) -> float:
        request, taken_s = self._backend.example_request(), []
        for _ in range(REHEARSALS):
            started_s = perf_counter()
            self._backend.infer(request)
            taken_s.append(perf_counter() - started_s)
        self._backend.reset()
        return float(np.percentile(taken_s, 95))

    def _tell(self) -> None:
        # Who closes the worker waits for its thread, and may take the guard condition away.
        if not self._closing:
            self._on_change()

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or (self._request is not None and not self._finished))
            return None if self._closing else self._request

    def _answer(self, request: Request) -> None:
        if self._reset_due:
            self._reset_due = False
            self._backend.reset()
        chunk = self._infer(request)
        with self._changed:
            if self._request is request:
                self._chunk, self._finished = chunk, True
        self._tell()

    def _imagine(self) -> None:
        """Let the backend go on for those who look, until the next request."""
        if not self.listening or not isinstance(self._backend, Imaginative):
            return
        try:
            imagined = self._backend.imagine(self._is_called)
        except WamError as error:
            # A picture that cannot be shown is no reason to stop the robot.
            self.error, imagined = error, None
        if imagined is not None:
            self.imagined.put(imagined)
            self._tell()

    def _is_called(self) -> bool:
        waiting = self._request is not None and not self._finished
        return waiting or self._closing or self._reset_due

    def _infer(self, request: Request) -> Chunk | None:
        if isinstance(self._backend, Imaginative):
            self._backend.imagining = self.listening
        started_s = perf_counter()
        try:
            chunk = self._checked(self._backend.infer(request), request)
        except WamError as error:
            self.error = error
            self.failures += 1
            self._failures_in_a_row += 1
            if self._failures_in_a_row == FAILURES_TO_DIE:
                raise
            return None
        self._latencies_ms.append(1e3 * (perf_counter() - started_s))
        self.inferences += 1
        self._failures_in_a_row, self.error = 0, None
        return chunk

    def _checked(self, chunk: Chunk, request: Request) -> Chunk:
        """A chunk of other joints, rows or time than asked for must not leave the worker."""
        expected = (self._robot.joint_names, self._policy.horizon, request.observation.stamp_ns)
        got = (chunk.names, len(chunk.offsets_ns), chunk.stamp_ns)
        for what, wanted, given in zip(("joints", "rows", "stamp"), expected, got, strict=True):
            if wanted != given:
                raise BackendError(mismatch(f"{what} of the chunk", wanted, given, "correct the backend"))
        return chunk
