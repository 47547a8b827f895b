# SPDX-License-Identifier: Apache-2.0
"""How well and how fast observations are put together: three unsynchronised cameras, joints, loss, a stall.

Sixty seconds of virtual time: cameras at 30 Hz with phases of 0, 9 and 21 ms and 3 ms of jitter, joint
states at 100 Hz, transport of 15 +- 8 ms for pictures, which may overtake each other. The oracle sees
all frames that ever arrive and takes the nearest ones.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.sync import SyncedSet, Synchroniser
from wam_ros.core.timeline import StreamSpec
from wam_ros.core.types import NS_PER_S, FloatArray

CAMERAS = ("head", "left", "right")
PHASE_S = (0.0, 0.009, 0.021)
RATE_HZ, JITTER_S = 30.0, 0.003
TRANSPORT_S, TRANSPORT_JITTER_S = 0.015, 0.008
JOINT_RATE_HZ, JOINT_JITTER_S = 100.0, 0.0005
DURATION_S = 60.0
STALL_S = (20.0, 22.0)
#: A frame counts as fresh when it is no more than one period away.
MAX_SKEW_NS = round(NS_PER_S / RATE_HZ)
POLL_NS = 20_000_000
SEEDS = (0, 1, 2, 3)
#: Times are the best of these runs, in CPU time: what other processes take of the core is not ours.
REPEATS = 4

#: Arrival time, stream, stamp; ``poll`` where nothing arrives.
Event = tuple[int, str, int]


@dataclass(frozen=True)
class Traffic:
    """Everything that arrives, in order of arrival, and the captured stamps of each camera that do arrive."""

    events: list[Event]
    stamps_ns: dict[str, NDArray[np.int64]]


@dataclass
class Replay:
    """What the synchroniser made of the traffic."""

    sets: list[SyncedSet] = field(default_factory=list)
    made_ns: list[int] = field(default_factory=list)
    worst_s: float = 0.0


def run(options: Namespace | None = None) -> dict[str, float | str]:
    """Return the keys of the bench ``sync``.

    Suffixes name the frame loss in percent, or the stall of one camera after the other; the figures of
    all seeds are pooled. Without suffix: the worst of the four.
    """
    figures: dict[str, float] = {}
    for loss in (0, 5, 20):
        figures |= figures_of(f"loss{loss}", [traffic(loss / 100, seed=seed) for seed in SEEDS])
    figures |= figures_of("stall", [traffic(0.0, stalled=camera, seed=seed) for camera in CAMERAS for seed in SEEDS])
    for key in ("us_per_message", "worst_call_ms"):
        figures[key] = max(value for name, value in figures.items() if name.startswith(key))
    return {**figures}


def traffic(loss: float, stalled: str = "", seed: int = 0) -> Traffic:
    """Return the messages of one minute.

    Args:
        loss: share of frames that never arrive.
        stalled: the camera that delivers nothing for two seconds.
        seed: of the random jitter and loss.
    """
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    stamps: dict[str, NDArray[np.int64]] = {}
    for camera, phase_s in zip(CAMERAS, PHASE_S, strict=True):
        captured = _stamps(rng, RATE_HZ, phase_s, JITTER_S)
        kept = rng.random(len(captured)) >= loss
        if camera == stalled:
            kept &= (captured < STALL_S[0]) | (captured >= STALL_S[1])
        captured = captured[kept]
        stamps[camera] = (captured * NS_PER_S).astype(np.int64)
        delay = np.maximum(0.001, rng.normal(TRANSPORT_S, TRANSPORT_JITTER_S, len(captured)))
        events += zip(_ns(captured + delay), [camera] * len(captured), stamps[camera].tolist(), strict=True)
    joints = _stamps(rng, JOINT_RATE_HZ, 0.0, JOINT_JITTER_S)
    delay = np.maximum(0.0002, rng.normal(0.001, 0.0003, len(joints)))
    events += zip(_ns(joints + delay), ["joints"] * len(joints), _ns(joints), strict=True)
    end_ns = round((DURATION_S + 0.5) * NS_PER_S)
    events += [(t, "poll", 0) for t in range(0, end_ns, POLL_NS)]
    return Traffic(sorted(events), stamps)


def replay(stream: Traffic, timed: bool = False) -> Replay:
    """Feed the traffic to a synchroniser; with ``timed`` note the CPU time of the slowest call."""
    out = Replay()
    synchroniser = _synchroniser()
    position = np.zeros(14)
    for arrival_ns, name, stamp_ns in stream.events:
        begin_s = thread_time() if timed else 0.0
        if name == "poll":
            made = synchroniser.poll(arrival_ns)
        else:
            made = synchroniser.add(name, stamp_ns, position, arrival_ns)
        if timed:
            out.worst_s = max(out.worst_s, thread_time() - begin_s)
        out.sets += made
        out.made_ns += [arrival_ns] * len(made)
    return out


def oracle(stream: Traffic) -> dict[int, int]:
    """Return, for each leader frame with a fresh frame of every camera, the spread of the nearest ones [ns]."""
    leading = stream.stamps_ns[CAMERAS[0]]
    last_joint_ns = max(stamp for _, name, stamp in stream.events if name == "joints")
    nearest = np.stack([_nearest(stream.stamps_ns[camera], leading) for camera in CAMERAS])  # (V, N)
    feasible = (np.abs(nearest - leading) <= MAX_SKEW_NS).all(axis=0) & (leading >= 0) & (leading <= last_joint_ns)
    spread = nearest.max(axis=0) - nearest.min(axis=0)
    return dict(zip(leading[feasible].tolist(), spread[feasible].tolist(), strict=True))


def figures_of(suffix: str, streams: Sequence[Traffic]) -> dict[str, float]:
    """Return the figures of several minutes of traffic, pooled."""
    results = [replay(stream) for stream in streams]
    oracles = [oracle(stream) for stream in streams]
    complete = [[s for s in result.sets if s.complete] for result in results]
    in_time = sum(s.stamp_ns in best for sets, best in zip(complete, oracles, strict=True) for s in sets)
    spread_ms = _percentile_99([_spread_ns(s) for sets in complete for s in sets])
    oracle_ms = _percentile_99([spread for best in oracles for spread in best.values()])
    waits_ms = np.array([s.wait_ns for result in results for s in result.sets]) / 1e6
    figures = {
        "sets_per_s": sum(map(len, complete)) / DURATION_S / len(streams),
        "yield": in_time / sum(map(len, oracles)),
        "spread_p99_ms": spread_ms,
        "oracle_spread_p99_ms": oracle_ms,
        "spread_ratio": spread_ms / oracle_ms,
        "out_of_order": float(sum(map(_out_of_order, results))),
        "longest_gap_ms": max(map(_longest_gap_ms, results)),
        "wait_ms_p50": float(np.median(waits_ms)),
        "wait_ms_p99": float(np.percentile(waits_ms, 99)),
        "us_per_message": min(_us_per_message(streams[0]) for _ in range(REPEATS)),
        "worst_call_ms": min(replay(streams[0], timed=True).worst_s for _ in range(REPEATS)) * 1e3,
    }
    return {f"{key}_{suffix}": value for key, value in figures.items()}


def _synchroniser() -> Synchroniser:
    period_ns = round(NS_PER_S / RATE_HZ)
    cameras = [StreamSpec(name, period_ns, MAX_SKEW_NS, may_lead=True) for name in CAMERAS]
    joints = StreamSpec("joints", round(NS_PER_S / JOINT_RATE_HZ), 50_000_000, match="interpolate")
    return Synchroniser([*cameras, joints], leader=CAMERAS[0])


def _us_per_message(stream: Traffic) -> float:
    begin_s = thread_time()
    replay(stream)
    messages = sum(name != "poll" for _, name, _ in stream.events)
    return (thread_time() - begin_s) / messages * 1e6


def _stamps(rng: np.random.Generator, rate_hz: float, phase_s: float, jitter_s: float) -> FloatArray:
    count = round(DURATION_S * rate_hz)
    return np.arange(count) / rate_hz + phase_s + rng.normal(0.0, jitter_s, count)


def _ns(times_s: FloatArray) -> list[int]:
    return [int(t) for t in (times_s * NS_PER_S).astype(np.int64)]


def _nearest(stamps: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    ordered = np.sort(stamps)
    after = np.searchsorted(ordered, wanted).clip(1, len(ordered) - 1)
    earlier, later = ordered[after - 1], ordered[after]
    chosen: NDArray[np.int64] = np.where(wanted - earlier <= later - wanted, earlier, later)
    return chosen


def _spread_ns(synced: SyncedSet) -> int:
    stamps = [synced.matches[camera].stamp_ns for camera in CAMERAS]
    return max(stamps) - min(stamps)


def _out_of_order(result: Replay) -> int:
    return sum(later.stamp_ns <= earlier.stamp_ns for earlier, later in pairwise(result.sets))


def _longest_gap_ms(result: Replay) -> float:
    return float(np.diff(result.made_ns).max()) / 1e6


def _percentile_99(values_ns: list[int]) -> float:
    return float(np.percentile(values_ns, 99)) / 1e6
