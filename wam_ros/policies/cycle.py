# SPDX-License-Identifier: Apache-2.0
"""The policy's one cycle: observation, inference, landing; one at a time.

An inference starts from the first observation that was captured a stride (``execute_rows``) after the one
before it, and not before the last chunk has landed: what is then committed is known, and is planned on
from. A chunk lands when it is there, but not before its declared latency has passed.
"""

from __future__ import annotations

from collections.abc import Callable

from wam_ros.core.policy import Policy
from wam_ros.core.types import NS_PER_S, Chunk, Observation
from wam_ros.policies.base import Request
from wam_ros.policies.worker import Mailbox, Worker

_ANY_TIME_NS = -(2**63)


class Cycle:
    """Decides when to infer and when to let a chunk go.

    Args:
        worker: does the inferences.
        policy: its stride.
        frame_rate_hz: of the leading camera; the stride is met to the nearest frame.
        declared_ns: the declared latency; 0 lands chunks as soon as they are there.
    """

    def __init__(self, worker: Worker, policy: Policy, frame_rate_hz: float, declared_ns: int) -> None:
        self._worker, self._declared_ns = worker, declared_ns
        self._row_s, self._half_frame_s = 1 / policy.rate_hz, 0.5 / frame_rate_hz
        self.stride(policy.execute_rows)
        self._mailbox: Mailbox[Observation] = Mailbox()
        self._earliest_ns = self._seen_ns = _ANY_TIME_NS

    def stride(self, rows: int) -> None:
        """Infer every so many rows, to the nearest frame."""
        self._stride_ns = round(NS_PER_S * (rows * self._row_s - self._half_frame_s))

    @property
    def dropped(self) -> int:
        """Observations that an inference could have started from, had the last one been over."""
        return self._mailbox.dropped

    @property
    def due_ns(self) -> int | None:
        """When the chunk in work is to land; None while there is none."""
        capture_ns = self._worker.capture_ns
        return None if capture_ns is None else capture_ns + self._declared_ns

    def see(self, observation: Observation) -> None:
        """Take the newest complete observation."""
        if observation.stamp_ns < self._seen_ns:
            self._earliest_ns = _ANY_TIME_NS  # the cameras' clock went back
        self._seen_ns = observation.stamp_ns
        if not self._wanted(self._mailbox.newest):
            self._mailbox.take()
        self._mailbox.put(observation)

    def expects(self, stamp_ns: int) -> bool:
        """True when an observation of that time would start an inference, and there has been one before."""
        return self._worker.idle and stamp_ns >= self._earliest_ns > _ANY_TIME_NS

    def begin(self, make: Callable[[Observation], Request]) -> Request | None:
        """Start an inference if it is time for one, and return its request.

        Args:
            make: makes the request, only if it is needed.
        """
        waiting = self._mailbox.newest
        if waiting is None or not self._wanted(waiting) or not self._worker.idle:
            return None
        self._mailbox.take()
        self._earliest_ns = waiting.stamp_ns + self._stride_ns
        request = make(waiting)
        self._worker.submit(request)
        return request

    def wait_ns(self, now_ns: int) -> int | None:
        """Return how long the finished chunk must still wait; None if none is finished."""
        due_ns = self.due_ns
        return max(0, due_ns - now_ns) if due_ns is not None and self._worker.finished else None

    def is_due(self, now_ns: int) -> bool:
        """True when the chunk in work is to land by now."""
        due_ns = self.due_ns
        return due_ns is not None and due_ns <= now_ns

    def land(self, now_ns: int) -> Chunk | None:
        """Take the finished chunk; None if there is none, or the inference failed."""
        chunk = self._worker.take()
        self._earliest_ns = max(self._earliest_ns, now_ns)
        return chunk

    def hurry(self) -> None:
        """Infer from the newest observation that has not been inferred from, without waiting for the stride.

        A chunk in work still lands: it is the first that can.
        """
        self._earliest_ns = min(self._earliest_ns, self._seen_ns)

    def reset(self) -> None:
        """A new attempt: what is in work is thrown away, and the next observation starts at once."""
        self._worker.reset()
        self._earliest_ns = _ANY_TIME_NS

    def _wanted(self, observation: Observation | None) -> bool:
        return observation is not None and observation.stamp_ns >= self._earliest_ns
