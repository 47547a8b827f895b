# SPDX-License-Identifier: Apache-2.0
"""From observations to rows: what was done next, lost frames, jumps of the clock; and what an operator may do."""

from types import MappingProxyType

import numpy as np
import pytest

from tests.unit.dataset_support import FPS, HEIGHT, PERIOD_NS, START_NS, WIDTH, small, small_layout
from wam_ros.core.episode import COMMITTED, NEXT_STATE
from wam_ros.core.errors import DatasetError
from wam_ros.core.ledger import Ledger
from wam_ros.core.recording import RowMaker
from wam_ros.core.types import Chunk, JointState, Observation, Trajectory, View
from wam_ros.files.archive import Message, read_messages
from wam_ros.files.dataset import session as session_module
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.session import CLOSING, IDLE, RECORDING, Session

NAMES = ("a", "b")


def seen(frame, names=NAMES, cameras=("eye",), depth=True, shift_ns=0):
    stamp_ns = START_NS + frame * PERIOD_NS + shift_ns
    position = np.full(len(names), frame / 100)
    color = np.full((HEIGHT, WIDTH, 3), frame % 250, np.uint8)
    depth_m = np.full((HEIGHT, WIDTH), 1.0, np.float32) if depth else None
    views = {name: View(stamp_ns, color, depth_m) for name in cameras}
    return Observation(stamp_ns, MappingProxyType(views), JointState(stamp_ns, names, position))


def commitment(start_frame, value, rows=20, names=NAMES):
    times = tuple(START_NS + start_frame * PERIOD_NS + i * PERIOD_NS for i in range(rows))
    positions = np.full((rows, len(names)), value) + np.arange(rows)[:, None]
    return Trajectory(names, times, positions, np.zeros((rows, len(names))))


@pytest.fixture
def maker():
    return RowMaker(NAMES, PERIOD_NS)


def feed(maker, frames):
    return [row for frame in frames for row in maker.add(seen(frame))] + maker.finish()


def test_without_a_command_the_next_state_is_the_action(maker):
    rows = feed(maker, range(4))
    assert [row.action[0] for row in rows] == [0.01, 0.02, 0.03, 0.03]
    assert {row.action_source for row in rows} == {NEXT_STATE}
    assert all(row.requested is None and row.control_source == "" for row in rows)


def test_the_action_is_what_motion_commits_to_one_period_later(maker):
    maker.on_committed(commitment(0, 10.0))
    rows = feed(maker, range(3))
    np.testing.assert_allclose([row.action[0] for row in rows], [11, 12, 13])
    assert {row.action_source for row in rows} == {COMMITTED}


def test_a_newer_commitment_counts_from_its_own_time_on(maker):
    maker.on_committed(commitment(0, 10.0))
    maker.on_committed(commitment(2, 50.0))
    np.testing.assert_allclose([row.action[0] for row in feed(maker, range(4))], [11, 50, 51, 52])


def test_what_motion_committed_to_long_ago_commands_nobody(maker):
    maker.on_committed(commitment(-FPS, 10.0, rows=3 * FPS))
    assert {row.action_source for row in feed(maker, range(3))} == {NEXT_STATE}


def test_a_commitment_of_other_joints_is_not_ours(maker):
    maker.on_committed(commitment(0, 10.0, names=("x", "y")))
    assert {row.action_source for row in feed(maker, range(3))} == {NEXT_STATE}


def test_what_the_policy_asked_for_stands_beside_what_was_done(maker):
    maker.on_committed(commitment(0, 10.0))
    maker.on_chunk(Chunk.at_rate(START_NS, NAMES, [[1, 1], [2, 2], [3, 3]], FPS))
    rows = feed(maker, range(5))
    assert [None if r.requested is None else round(r.requested[0], 6) for r in rows] == [1, 2, 3, None, None]
    assert [row.control_source for row in rows] == ["policy", "policy", "policy", "", ""]


def test_a_row_is_marked_by_who_led_at_its_time_even_when_that_is_known_before_the_row(maker):
    maker.on_committed(commitment(0, 10.0))
    maker.on_leader("policy", 0)
    maker.on_leader("teleop", START_NS + 3 * PERIOD_NS)
    maker.on_leader("policy", START_NS + 5 * PERIOD_NS)
    rows = feed(maker, range(6))
    assert [row.control_source for row in rows] == ["policy"] * 3 + ["teleop"] * 2 + ["policy"]
    assert maker.renewed().leader == "policy"


def test_who_leads_controls_nothing_while_motion_commands_nothing(maker):
    maker.on_leader("teleop", 0)
    assert {row.control_source for row in feed(maker, range(3))} == {""}
    maker.on_leader("hand", 0)
    assert {row.control_source for row in feed(maker, range(4, 6))} == {"hand"}


def test_lost_frames_of_the_leader_are_filled_in_and_say_so(maker):
    rows = feed(maker, [0, 1, 4, 5])
    assert [row.filled for row in rows] == [False, False, True, True, False, False]
    assert np.diff([row.stamp_ns for row in rows]).tolist() == pytest.approx([PERIOD_NS] * 5, abs=2)
    np.testing.assert_allclose([row.state[0] for row in rows], np.arange(6) / 100)
    assert rows[3].colors["eye"] is rows[1].colors["eye"]
    assert rows[3].capture_ns == rows[1].capture_ns
    assert not rows[3].complete
    assert (maker.filled, maker.holes) == (2, 0)


def test_a_long_hole_is_counted_and_left(maker):
    assert len(feed(maker, [0, 1, 3 * FPS])) == 3
    assert (maker.filled, maker.holes) == (0, 1)


def test_an_observation_too_close_to_the_last_is_left_out(maker):
    assert maker.add(seen(0)) == []
    assert maker.add(seen(0, shift_ns=PERIOD_NS // 4)) == []
    assert [row.stamp_ns for row in maker.add(seen(1))] == [START_NS]
    assert maker.crowded == 1


def test_a_clock_that_goes_back_ends_the_episode(maker):
    maker.add(seen(100))
    assert maker.add(seen(10)) == []
    assert "went back 6.0 s" in maker.ended
    assert [row.stamp_ns for row in maker.finish()] == [seen(100).stamp_ns]


def test_the_ledger_knows_what_must_have_been_lost():
    ledger = Ledger({"eye": PERIOD_NS, "silent": PERIOD_NS})
    for frame in (0, 1, 2, 6, 7, 6, 8):
        ledger.add("eye", START_NS + frame * PERIOD_NS)
    ledger.skew("eye", -3_000_000)
    ledger.skew("eye", 2_000_000)
    figures = ledger.figures()
    assert figures["silent"]["count"] == 0
    eye = figures["eye"]
    assert (eye["count"], eye["gaps"], eye["lost"], eye["backwards"]) == (7, 1, 3, 1)
    assert eye["worst_skew_s"] == 0.003
    assert eye["longest_gap_s"] == pytest.approx(4 * PERIOD_NS / 1e9, abs=1e-6)


# -- the session -------------------------------------------------------------------------------


@pytest.fixture
def session(robot, tmp_path, request):
    """A session; its parameter is the length of the pre-roll."""
    twin = small(robot)
    layout = small_layout(twin)
    dataset = Dataset(tmp_path / "set", layout, twin)
    made = Session(dataset, twin, layout, {"head": PERIOD_NS}, getattr(request, "param", 0))
    made.rows.instruction = "fold"
    yield made
    made.end()


@pytest.fixture
def observe(robot, session):
    def observe_(frames, **options):
        for frame in frames:
            session.sample("head", START_NS + frame * PERIOD_NS)
            session.observe(seen(frame, robot.joint_names, [c.name for c in robot.cameras], **options))

    return observe_


def recordings(session):
    assert not examine(session.dataset.root, deep=True).problems
    return list(DatasetReader(session.dataset.root))


def test_an_operator_starts_marks_and_stops(session, observe):
    observe(range(3))
    assert (session.state, "recording" in session.start(), session.state) == (IDLE, True, RECORDING)
    observe(range(10, 22))
    session.keep(said(5))
    session.mark(success=True)
    session.stop()
    session.wait()
    assert session.state == IDLE
    (recording,) = recordings(session)
    assert (len(recording), recording.described.success, recording.described.ended) == (12, "success", "stopped")
    assert recording.instructions == ["fold"] * 12
    assert recording.described.ledger["streams"]["head"]["count"] == 12
    assert recording.described.ledger["streams"]["/said"]["count"] == 1
    assert [m.data for m in read_messages(recording.archive / "archive_0.mcap")] == [b"\0\1\0\0\4\0\0\0abc\0"]


def test_what_cannot_be_done_now_is_refused_with_a_reason(session, observe):
    for act in (session.stop, session.discard, lambda: session.mark(success=True)):
        with pytest.raises(DatasetError, match="expected an"):
            act()
    session.start()
    with pytest.raises(DatasetError, match="is RECORDING"):
        session.start()
    observe(range(3))
    session.discard()
    session.wait()
    assert recordings(session) == []


def test_an_episode_may_be_marked_when_it_is_over(session, observe):
    session.start()
    observe(range(3))
    session.stop()
    session.mark(success=False)
    session.wait()
    assert recordings(session)[0].described.success == "failure"


@pytest.mark.parametrize("session", [5 * PERIOD_NS], indirect=True)
@pytest.mark.parametrize("after", [0, 2, 12])
def test_an_episode_with_a_pre_roll_begins_before_it_was_asked_for_with_the_pictures_of_that_time(
    session, observe, after
):
    observe(range(20))
    session.start()
    observe(range(20, 20 + after))
    session.stop()
    session.wait()
    observe(range(40, 43))
    session.start()
    session.discard()
    session.wait()
    (recording,) = recordings(session)
    np.testing.assert_array_equal(recording.values("stamp_ns"), [seen(f).stamp_ns for f in range(15, 20 + after)])
    for frame, picture in enumerate(recording.pictures("head"), 15):
        assert abs(float(picture.mean()) - frame) < 2
    assert not recording.values("filled").any()


def said(log_ns):
    return Message("/said", "std_msgs/msg/String", b"\0\1\0\0\4\0\0\0abc\0", log_ns)


@pytest.mark.parametrize("session", [5 * PERIOD_NS], indirect=True)
def test_the_archive_and_the_ledger_begin_with_the_pre_roll(session, observe):
    for frame in range(20):
        session.keep(said(frame * PERIOD_NS))
        observe([frame])
    session.start([said(14 * PERIOD_NS)])
    session.keep(said(20 * PERIOD_NS))
    observe([20])
    session.stop()
    session.wait()
    session.start()
    session.keep(said(30 * PERIOD_NS))
    observe([30])
    session.stop()
    session.wait()
    first, second = recordings(session)
    for recording, frames in ((first, [14, 15, 16, 17, 18, 19, 20]), (second, [30])):
        archived = [message.log_ns // PERIOD_NS for message in read_messages(recording.archive / "archive_0.mcap")]
        assert archived == frames
        streams = recording.described.ledger["streams"]
        assert streams["/said"]["count"] == len(frames)
        assert (streams["head"]["count"], streams["head"]["lost"]) == (len(recording), 0)


@pytest.mark.parametrize("session", [5 * PERIOD_NS], indirect=True)
def test_a_pre_roll_forgets_what_lies_before_a_jump_of_the_clock(session, observe):
    observe([*range(100, 110), 3, 4])
    session.start()
    observe([5])
    session.stop()
    session.wait()
    (recording,) = recordings(session)
    np.testing.assert_array_equal(recording.values("stamp_ns"), [seen(f).stamp_ns for f in (3, 4, 5)])


def test_depth_that_never_came_is_unknown_and_counted(session, observe):
    session.start()
    observe(range(4), depth=False)
    session.stop()
    session.wait()
    (recording,) = recordings(session)
    assert max(picture.max() for picture in recording.archived_depths("head")) == 0
    assert recording.described.ledger["depth_missing"] == 8  # in two streams


def test_a_clock_that_goes_back_ends_the_episode_valid(session, observe):
    session.start()
    observe([*range(100, 104), 3])
    assert session.state in (CLOSING, IDLE)
    session.wait()
    (recording,) = recordings(session)
    assert len(recording) == 4
    assert "the clock went back" in recording.described.ended


def test_a_full_disk_ends_the_episode_valid(session, observe, monkeypatch):
    session.start()
    observe(range(5))
    session.look()
    assert session.state == RECORDING
    monkeypatch.setattr(Dataset, "has_space_for", lambda *_: False)
    session.look()
    session.wait()
    (recording,) = recordings(session)
    assert (len(recording), recording.described.ended) == (5, "disk full")


def test_a_slow_encoder_repeats_pictures_and_says_so_but_loses_no_row(session, observe, monkeypatch):
    session.start()
    session._episode._rows._room = 3  # as if the disk took three rows at a time
    observe(range(50))
    session.stop()
    session.wait()
    (recording,) = recordings(session)
    assert len(recording) == 50
    np.testing.assert_array_equal(recording.values("stamp_ns"), [seen(f).stamp_ns for f in range(50)])
    repeated = recording.described.ledger["pictures_repeated"]
    assert 0 < repeated == recording.values("filled").sum()
    for frame, (picture, filled) in enumerate(zip(recording.pictures("head"), recording.values("filled"), strict=True)):
        if not filled:
            assert abs(float(picture.mean()) - frame) < 2


def test_an_encoder_that_never_catches_up_ends_the_episode(session, observe, monkeypatch):
    monkeypatch.setattr(session_module, "MOST_OWED", 5)
    session.start()
    session._episode._rows._room = 0
    observe(range(20))
    session.look()
    session.wait()
    (recording,) = recordings(session)
    assert (len(recording), recording.described.ended) == (20, "the encoders or the disk cannot keep up")
    assert recording.values("filled")[:-1].all()  # the last row is handed over when there is time


def test_ending_the_session_closes_what_is_open(session, observe):
    session.start()
    observe(range(6))
    session.end()
    (recording,) = recordings(session)
    assert (len(recording), recording.described.ended) == (6, "the recorder was ended")
