# SPDX-License-Identifier: Apache-2.0
"""Laws of synchronising: order, nearest frames, interpolated joints, deadlines, silence, jumps, bounds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.bench import sync as bench
from wam_ros.core.errors import ConfigError
from wam_ros.core.sync import Synchroniser
from wam_ros.core.timeline import StreamSpec

MS = 1_000_000
PERIOD = 33 * MS
DEADLINE = 45 * MS


def synchroniser(**optional):
    streams = [
        StreamSpec("head", PERIOD, 25 * MS, may_lead=True),
        StreamSpec("wrist", PERIOD, 25 * MS, may_lead=True),
        StreamSpec("joints", 10 * MS, 50 * MS, match="interpolate"),
        *(StreamSpec(name, PERIOD, 25 * MS, required=required) for name, required in optional.items()),
    ]
    return Synchroniser(streams, "head", DEADLINE)


def feed(sync, messages):
    """Add (stream, stamp, now) messages [ms]; joints hold their own time in ms."""
    made = []
    for stream, stamp, now in messages:
        item = np.array([stamp]) if stream == "joints" else f"{stream}@{stamp}"
        made += sync.add(stream, round(stamp * MS), item, round(now * MS))
    return made


def joints(start, end, step=10):
    return [("joints", t, t) for t in range(start, end + 1, step)]


messages = st.lists(
    st.tuples(st.sampled_from(["head", "wrist", "joints"]), st.integers(1, 900), st.integers(0, 60)), max_size=80
)


@given(messages)
def test_sets_never_go_back_in_time_whatever_arrives(batch):
    ordered = sorted(((stream, stamp, stamp + delay) for stream, stamp, delay in batch), key=lambda m: m[2])
    stamps = [s.stamp_ns for s in feed(synchroniser(), ordered)]
    assert all(later > earlier for earlier, later in pairwise(stamps))


@given(messages)
def test_what_is_called_fresh_lies_within_the_skew_limit(batch):
    ordered = sorted(((stream, stamp, stamp + delay) for stream, stamp, delay in batch), key=lambda m: m[2])
    for made in feed(synchroniser(), ordered):
        for match in made.matches.values():
            assert match.fresh == (abs(match.skew_ns) <= 25 * MS)
            assert match.skew_ns == match.stamp_ns - made.stamp_ns


@given(st.integers(0, 32), st.randoms(use_true_random=False))
def test_how_streams_interleave_does_not_change_the_sets(phase, random):
    streams = {
        "head": [(f"head@{t}", t) for t in range(33, 600, 33)],
        "wrist": [(f"wrist@{t}", t) for t in range(phase + 1, 640, 33)],
        "joints": [(np.array([t]), t) for t in range(0, 700, 10)],
    }
    expected = {t: min(streams["wrist"], key=lambda w, t=t: (abs(w[1] - t), w[1]))[1] for _, t in streams["head"]}
    turns = [name for name, samples in streams.items() for _ in samples]
    random.shuffle(turns)
    sync, made = _roomy_synchroniser(), []
    for name in turns:
        item, stamp = streams[name].pop(0)
        made += sync.add(name, stamp * MS, item, 1000 * MS)
    assert {s.stamp_ns // MS: s.matches["wrist"].stamp_ns // MS for s in made} == expected


def _roomy_synchroniser():
    """Keeps all samples of half a second: time stands still and one stream may run far ahead."""
    cameras = [StreamSpec(name, PERIOD, 25 * MS, may_lead=True) for name in ("head", "wrist")]
    return Synchroniser([*cameras, StreamSpec("joints", 10 * MS, 50 * MS, match="interpolate")], "head", 2000 * MS)


@given(st.lists(st.integers(1, 45), min_size=3, max_size=20), st.data())
def test_joints_on_a_line_are_interpolated_exactly(steps, data):
    stamps = np.cumsum(steps).tolist()
    leader = data.draw(st.integers(stamps[0], stamps[-1]))
    sync = synchroniser()
    for stamp in stamps:
        sync.add("joints", stamp * MS, np.array([2.0 * stamp, -stamp]), leader * MS)
    feed(sync, [("wrist", leader, leader)])
    (made,) = sync.add("head", leader * MS, "h", leader * MS)
    np.testing.assert_allclose(made.matches["joints"].item, [2.0 * leader, -leader], rtol=1e-12)


def test_a_set_waits_for_the_nearest_frame_and_not_longer():
    sync = synchroniser()
    feed(sync, [*joints(0, 120), ("wrist", 40, 121)])
    assert feed(sync, [("head", 66, 122)]) == []  # the next wrist frame could still be nearer
    (made,) = feed(sync, [("wrist", 73, 123)])
    assert made.matches["wrist"].item == "wrist@73"
    assert made.wait_ns == MS


def test_a_set_does_not_wait_for_a_frame_that_will_lie_farther_away():
    sync = synchroniser()
    regular = [("wrist", 33 * i, 33 * i) for i in range(1, 100)]
    feed(sync, sorted([*regular, *joints(0, 3300)], key=lambda m: m[2]))
    (made,) = feed(sync, [("head", 3270, 3301)])
    assert made.matches["wrist"].stamp_ns == 3267 * MS


def test_a_frame_that_never_comes_delays_a_set_by_the_deadline_only():
    sync = synchroniser()
    feed(sync, [("wrist", 33, 40), *joints(0, 120), ("head", 99, 121)])
    assert not sync.poll(121 * MS + DEADLINE - 1)
    (made,) = sync.poll(121 * MS + DEADLINE)
    assert not made.complete
    assert not made.matches["wrist"].fresh
    assert sync.statistics(170 * MS).incomplete == 1


@pytest.mark.parametrize("silent", ["wrist", "joints"])
def test_no_set_is_made_of_a_stream_that_never_spoke(silent):
    sync = synchroniser()
    arrivals = [m for m in [("wrist", 66, 70), ("head", 66, 71), *joints(0, 80)] if m[0] != silent]
    feed(sync, arrivals)
    assert not sync.poll(200 * MS)
    assert sync.statistics(200 * MS).missing == {silent: 1}


def test_joints_are_not_interpolated_across_a_hole():
    sync = synchroniser()
    feed(sync, [("wrist", 66, 66), ("joints", 30, 30), ("joints", 81, 81), ("head", 66, 82)])
    assert not sync.poll(200 * MS)
    assert sync.statistics(200 * MS).missing == {"joints": 1}


def test_a_stream_that_is_not_required_is_left_out_at_the_deadline():
    sync = synchroniser(depth=False)
    feed(sync, [*joints(0, 80), ("wrist", 66, 70), ("head", 66, 71)])
    (made,) = sync.poll(200 * MS)
    assert set(made.matches) == {"head", "wrist", "joints"}
    assert made.complete


def test_another_camera_leads_while_the_leader_is_silent():
    sync = synchroniser()
    stream = [(name, 33 * i, 33 * i) for i in range(1, 60) for name in ("head", "wrist")]
    stalled = [m for m in stream if m[0] != "head" or not 600 < m[1] < 1300]
    made = feed(sync, sorted([*stalled, *joints(0, 2000)], key=lambda m: m[2]))
    leaders = {s.leader for s in made if 700 < s.stamp_ns / MS < 1280}
    assert leaders == {"wrist"}
    assert {s.leader for s in made if s.stamp_ns > 1330 * MS} == {"head"}
    assert max(later.stamp_ns - earlier.stamp_ns for earlier, later in pairwise(made)) <= 66 * MS


def test_duplicates_and_reordered_frames_are_counted():
    sync = synchroniser()
    feed(sync, [("wrist", 33, 40), ("wrist", 99, 100), ("wrist", 66, 101), ("wrist", 66, 102)])
    assert sync.statistics(102 * MS).irregular == {"reordered": 1, "duplicate": 1}


def test_stamps_that_jump_back_start_a_new_epoch():
    sync = synchroniser()
    feed(sync, [*joints(5000, 5080), ("wrist", 5066, 5080), ("head", 5066, 5080)])
    again = [("joints", stamp, 5090) for stamp in range(100, 180, 10)]
    made = feed(sync, [*again, ("wrist", 166, 5100), ("head", 166, 5101)])
    assert [s.stamp_ns for s in made] == [166 * MS]
    assert sync.statistics(5103 * MS).clock_jumps >= 1


@pytest.mark.parametrize("now", [-3000, 3000])
def test_a_jump_of_the_clock_forgets_what_was_held(now):
    sync = synchroniser()
    feed(sync, [*joints(4000, 4080), ("wrist", 4066, 4081)])
    sync.poll((4081 + now) * MS)
    assert sync.newest_ns("wrist") is None
    assert sync.statistics((4081 + now) * MS).clock_jumps == 1


def test_a_stall_is_not_taken_for_a_jump():
    sync = synchroniser()
    ticking = [*joints(0, 4000), ("wrist", 33, 34), ("wrist", 3000, 3001)]
    feed(sync, sorted(ticking, key=lambda m: m[2]))
    assert sync.statistics(4000 * MS).clock_jumps == 0


def test_stamps_that_run_ahead_of_time_start_a_new_epoch():
    sync = synchroniser()
    feed(sync, [("wrist", 33, 34), ("wrist", 5000, 67)])
    assert sync.statistics(67 * MS).clock_jumps == 1


@settings(max_examples=20)
@given(st.integers(500, 3000))
def test_memory_is_bounded_although_nobody_leads(count):
    sync = synchroniser()
    feed(sync, [("wrist", 10 * i, 10 * i) for i in range(1, count)])
    assert len(sync._lines["wrist"].items) <= sync._lines["wrist"].keep <= 12


def test_a_leader_must_be_a_stream_that_may_lead():
    with pytest.raises(ConfigError, match=r"expected one of \['head'\], got joints"):
        Synchroniser([StreamSpec("head", 1, 1, may_lead=True), StreamSpec("joints", 1, 1)], "joints")


@pytest.mark.parametrize("loss", [0, 5, 20])
def test_lost_frames_cost_hardly_more_than_they_must(loss):
    figures = bench.figures_of(f"loss{loss}", [bench.traffic(loss / 100, seed=seed) for seed in (5, 6)])
    assert figures[f"yield_loss{loss}"] >= 0.99
    assert figures[f"spread_ratio_loss{loss}"] <= 1.05
    assert figures[f"out_of_order_loss{loss}"] == 0
    if loss == 0:
        assert figures["sets_per_s_loss0"] >= 29.5


@pytest.mark.parametrize("camera", bench.CAMERAS)
def test_no_stalled_camera_leaves_a_gap_of_more_than_a_tenth_of_a_second(camera):
    result = bench.replay(bench.traffic(0.0, stalled=camera, seed=7))
    assert bench._longest_gap_ms(result) <= 100
