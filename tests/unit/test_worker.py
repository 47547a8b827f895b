# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backend_conformance import restamped
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.types import Chunk
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.policies.base import Request
from wam_ros.policies.hold import Hold
from wam_ros.policies.worker import FAILURES_TO_DIE, Mailbox, Phase, Worker

POLICY, ROBOT, TASK = load_policy("hold"), load_robot("sim_r1_lite"), load_task("towel_fold")
PATIENCE_S = 5.0


class Gated(Hold):
    """Holds; but each inference waits at a gate, and everything is written down with its thread."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.gate, self.inside = threading.Semaphore(0), threading.Semaphore(0)
        self.failure: BaseException | None = None

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread())

    def load(self, *config) -> None:
        self._note("load")
        super().load(*config)

    def warm_up(self) -> None:
        self._note("warm_up")

    def infer(self, request: Request) -> Chunk:
        self._note("infer")
        self.inside.release()
        assert self.gate.acquire(timeout=PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        return super().infer(request)

    def reset(self) -> None:
        self._note("reset")

    def close(self) -> None:
        self._note("close")


class Bench:
    """A worker with a gated backend; `await_change` waits for its next word."""

    def __init__(self, backend: Gated | None = None) -> None:
        self.backend = backend or Gated()
        self._changes = threading.Semaphore(0)
        self.worker = Worker(self.backend, POLICY, ROBOT, TASK, on_change=self._changes.release)
        self.await_change()
        self._example = self.backend.example_request() if hasattr(self.backend, "_policy") else None

    def await_change(self) -> None:
        assert self._changes.acquire(timeout=PATIENCE_S), "the worker said nothing"

    def request(self, stamp_ns: int) -> Request:
        return restamped(self._example, stamp_ns)

    def infer(self, stamp_ns: int) -> Chunk | None:
        self.worker.submit(self.request(stamp_ns))
        self.backend.gate.release()
        self.await_change()
        return self.worker.take()


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    for _ in range(9):
        bench.backend.gate.release()
    assert bench.worker.close()


def test_everything_the_backend_does_happens_in_one_other_thread(bench):
    bench.infer(1)
    bench.worker.reset()
    bench.infer(2)
    bench.worker.close()
    assert bench.backend.calls == ["load", "warm_up", "infer", "reset", "infer", "close"]
    assert len(bench.backend.threads) == 1
    assert threading.current_thread() not in bench.backend.threads


def test_a_finished_chunk_waits_to_be_taken_and_blocks_the_next_request(bench):
    bench.worker.submit(bench.request(7))
    assert not bench.worker.finished
    assert bench.worker.capture_ns == 7
    bench.backend.gate.release()
    bench.await_change()
    assert bench.worker.finished
    with pytest.raises(BackendError, match="take the last chunk first"):
        bench.worker.submit(bench.request(8))
    assert bench.worker.take().stamp_ns == 7
    assert bench.worker.take() is None
    assert bench.worker.idle


def test_what_was_begun_before_a_reset_is_thrown_away(bench):
    bench.worker.submit(bench.request(1))
    assert bench.backend.inside.acquire(timeout=PATIENCE_S)
    bench.worker.reset()
    assert bench.worker.idle
    bench.worker.submit(bench.request(2))
    bench.backend.gate.release()
    bench.await_change()
    assert bench.worker.take() is None
    bench.backend.gate.release()
    bench.await_change()
    assert bench.worker.take().stamp_ns == 2
    assert bench.backend.calls[2:] == ["infer", "reset", "infer"]


def test_latency_is_recorded_without_the_warm_up(bench):
    assert bench.worker.latency_ms == bench.worker.latency_percentile_ms(50) == 0
    bench.infer(1)
    assert 0 < bench.worker.latency_ms == bench.worker.latency_percentile_ms(50)
    assert bench.worker.inferences == 1


def test_one_failure_is_kept_and_the_next_inference_heals_it(bench):
    bench.backend.failure = BackendError("one odd picture")
    assert bench.infer(1) is None
    assert bench.worker.failures == 1
    assert str(bench.worker.error) == "one odd picture"
    assert bench.worker.idle
    bench.backend.failure = None
    assert bench.infer(2) is not None
    assert bench.worker.error is None


def test_repeated_failures_poison_the_worker(bench):
    bench.backend.failure = BackendError("broken")
    for stamp_ns in range(FAILURES_TO_DIE):
        assert bench.worker.phase is Phase.READY
        bench.infer(stamp_ns)
    assert bench.worker.phase is Phase.FAILED
    assert str(bench.worker.error) == "broken"
    assert bench.backend.calls[-1] == "close"
    with pytest.raises(BackendError):
        bench.worker.submit(bench.request(9))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_backend_poisons_the_worker_at_once(bench):
    bench.backend.failure = ZeroDivisionError()
    assert bench.infer(1) is None
    assert bench.worker.phase is Phase.FAILED
    assert isinstance(bench.worker.error, BackendError)


def test_a_backend_that_cannot_load_says_why():
    class Unloadable(Gated):
        def load(self, *config) -> None:
            raise ConfigError("checkpoint: not there")

    bench = Bench(Unloadable())
    assert bench.worker.phase is Phase.FAILED
    assert str(bench.worker.error) == "checkpoint: not there"
    assert bench.worker.close()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda c: replace(c, names=c.names[::-1]), "joints"),
        (lambda c: Chunk(c.stamp_ns, c.names, c.positions[:5], c.offsets_ns[:5]), "rows"),
        (lambda c: replace(c, stamp_ns=c.stamp_ns + 1), "stamp"),
    ],
)
def test_a_chunk_that_does_not_answer_the_request_is_refused(spoil, named):
    class Spoilt(Gated):
        def infer(self, request: Request) -> Chunk:
            return spoil(super().infer(request))

    bench = Bench(Spoilt())
    assert bench.infer(1) is None
    assert f"{named} of the chunk" in str(bench.worker.error)
    assert bench.worker.close()


def test_closing_waits_for_the_inference_that_runs_and_leaves_no_thread(bench):
    bench.worker.submit(bench.request(1))
    assert bench.backend.inside.acquire(timeout=PATIENCE_S)
    assert not bench.worker.close(timeout_s=0.01)
    bench.backend.gate.release()
    assert bench.worker.close()
    assert bench.worker.phase is Phase.CLOSED
    assert not any(t.name.startswith("backend-") and t.is_alive() for t in bench.backend.threads)


@given(st.lists(st.one_of(st.integers(0, 99), st.none())))
def test_the_mailbox_gives_the_newest_and_counts_the_rest(events):
    """None takes; a number is put. Everything put was either taken, dropped, or is still there."""
    box: Mailbox[int] = Mailbox()
    newest, taken, put = None, 0, 0
    for event in events:
        if event is None:
            assert box.take() == newest
            taken, newest = taken + (newest is not None), None
        else:
            box.put(event)
            newest, put = event, put + 1
    assert box.dropped == put - taken - (newest is not None)


def test_a_worker_is_rehearsed_before_it_is_ready_and_what_its_judge_raises_poisons_it():
    heard = []

    def refuse(measured_s):
        heard.append(measured_s)
        raise ConfigError("too slow; lower rate_hz")

    changed = threading.Event()
    worker = Worker(Hold(), POLICY, ROBOT, TASK, on_change=changed.set, approve=refuse)
    assert changed.wait(10)
    assert worker.close()
    assert worker.phase is Phase.FAILED
    assert "too slow" in str(worker.error)
    assert heard[0] > 0
