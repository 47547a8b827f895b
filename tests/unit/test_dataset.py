# SPDX-License-Identifier: Apache-2.0
"""Episodes written and read back: every row, every picture, and what a crash may cost."""

import json
import re
import shutil
from dataclasses import replace

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from av.video.reformatter import ColorRange

from tests.unit.dataset_support import FPS, append, record, row_at, shade, small, small_layout
from wam_ros.core.depth_codes import to_codes, to_metres, to_millimetres
from wam_ros.core.episode import ACTION, STATE, layout_of
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.files.dataset import dataset as dataset_module
from wam_ros.files.dataset import disk, lane
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.video import AV1, H264, LOSSLESS, choose_color_codec


@pytest.fixture
def twin(robot):
    return small(robot)


@pytest.fixture
def layout(twin):
    return small_layout(twin)


@pytest.fixture
def opened(tmp_path, layout, twin):
    made = []

    def open_(**options):
        for dataset in made:
            dataset.release()
        made.append(Dataset(tmp_path / "set", layout, twin, **options))
        return made[-1]

    yield open_
    for dataset in made:
        dataset.release()


def test_what_is_recorded_is_read_back(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 20, success="success", ledger={"heard": 3})
    record(dataset, twin, layout, 7, ended="stopped by its operator")
    reader = DatasetReader(dataset.root)
    assert [len(recording) for recording in reader] == [20, 7]
    first, second = reader
    rows = [row_at(twin, frame) for frame in range(20)]
    np.testing.assert_array_equal(first.states, np.float32([row.state for row in rows]))
    np.testing.assert_array_equal(first.actions, np.float32([row.action for row in rows]))
    np.testing.assert_array_equal(first.values("stamp_ns"), [row.stamp_ns for row in rows])
    np.testing.assert_array_equal(first.values("requested"), [row.requested is not None for row in rows])
    np.testing.assert_array_equal(
        first.values("requested_action")[1::2], np.float32([row.requested for row in rows[1::2]])
    )
    capture_s = [[row.capture_ns[c.name] / 1e9 for c in twin.cameras] for row in rows]
    np.testing.assert_array_equal(first.values("capture_time"), capture_s)
    np.testing.assert_allclose(first.values("skew"), [[0, 1e-3, 2e-3]] * 20, rtol=1e-6)
    np.testing.assert_array_equal(second.values("index"), np.arange(20, 27))
    assert first.instructions == ["fold"] * 20
    assert (first.described.success, first.described.ledger) == ("success", {"heard": 3})
    assert second.described.ended == "stopped by its operator"


def test_each_row_has_its_own_frame_of_every_camera(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 30)
    (recording,) = DatasetReader(dataset.root)
    for number, camera in enumerate(twin.cameras):
        for frame, picture in enumerate(recording.pictures(camera.name)):
            assert abs(float(picture.mean()) - shade(frame, number)) < 2, (camera.name, frame)


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_depth_is_kept_without_loss_in_the_archive_and_nearly_so_in_the_dataset(
    opened, twin, layout, monkeypatch, links
):
    if not links:  # a disk whose format knows no second names
        monkeypatch.setattr("wam_ros.files.dataset.closing._link", lambda *_: False)
    dataset = opened()
    record(dataset, twin, layout, 12)
    (recording,) = DatasetReader(dataset.root)
    head = twin.cameras[0].name
    wanted = [row_at(twin, frame).depths[head] for frame in range(12)]
    for kept, depth_m in zip(recording.archived_depths(head), wanted, strict=True):
        np.testing.assert_array_equal(kept, to_millimetres(depth_m))
    for kept, depth_m in zip(recording.depths(head), wanted, strict=True):
        np.testing.assert_allclose(kept[8:], depth_m[8:], atol=0.01)


@pytest.mark.parametrize("color", [H264, LOSSLESS])
def test_depth_says_that_its_codes_fill_their_range_so_that_no_reader_stretches_them(opened, twin, layout, color):
    dataset = opened(color=color)
    record(dataset, twin, layout, 2)
    with av.open(str(dataset.root / "videos/observation.images.head_depth/chunk-000/file-000.mp4")) as container:
        assert [frame.color_range for frame in container.decode(video=0)] == [ColorRange.JPEG] * 2


def test_depth_codes_keep_the_unknown_and_a_few_millimetres():
    millimetres = np.arange(1, 10_000, dtype=np.uint16)
    error_m = np.abs(to_metres(to_codes(millimetres)) - millimetres / 1000)
    assert error_m[10:].max() < 0.003
    assert to_metres(to_codes(np.zeros((2, 2), np.uint16))).max() == 0
    assert to_millimetres(np.float32([[np.nan, -1, 70, 0.5]])).tolist() == [[0, 0, 0, 500]]


def test_parts_are_in_the_drivers_unit_and_flat_vectors_normalised(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 3)
    (recording,) = DatasetReader(dataset.root)
    for part in (STATE, ACTION):
        flat = recording.values(part)
        np.testing.assert_allclose(recording.values(f"{part}.left_gripper"), 100 * flat[:, 6], rtol=1e-6)
        np.testing.assert_array_equal(recording.values(f"{part}.right_arm"), flat[:, 7:13])


def test_every_key_a_reader_demands_is_there(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 9)
    info = json.loads((dataset.root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["total_episodes"], info["total_frames"], info["total_tasks"]) == (FPS, 1, 9, 1)
    assert info["features"]["observation.images.head"]["shape"] == [48, 64, 3]
    assert info["features"]["observation.images.head_depth"]["info"]["is_depth_map"]
    assert info["features"]["stamp_ns"] == {"dtype": "int64", "shape": [1], "names": None}
    table = pq.read_table(dataset.root / "data/chunk-000/file-000.parquet")
    assert set(table.column_names) == {k for k, f in info["features"].items() if f["dtype"] != "video"}
    assert table.schema.field("action").type == pa.list_(pa.float32(), 14)
    np.testing.assert_allclose(table["timestamp"].to_numpy(), np.arange(9) / FPS, atol=1e-6)
    episodes = pq.read_table(dataset.root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[0]
    assert episodes["videos/observation.images.head/to_timestamp"] == pytest.approx(9 / FPS)
    assert (episodes["dataset_from_index"], episodes["dataset_to_index"], episodes["tasks"]) == (0, 9, ["fold"])
    # What begins like this, readers take for an input or an output of a policy.
    odd = [k for k in info["features"] if k.startswith(("observation", "action")) and k.split(".")[0] not in (
        "observation", "action", "action_source")]  # fmt: skip
    assert not odd


def test_statistics_are_those_of_the_rows(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 20)
    record(dataset, twin, layout, 10)
    stats = json.loads((dataset.root / "meta/stats.json").read_text())
    rows = np.concatenate([recording.values(STATE) for recording in DatasetReader(dataset.root)]).astype(float)
    for name, values in (("mean", rows.mean(0)), ("std", rows.std(0)), ("min", rows.min(0)), ("max", rows.max(0))):
        np.testing.assert_allclose(stats[STATE][name], values, rtol=1e-9)
    assert stats[STATE]["count"] == [30]
    looked_at = [shade(f, 0) for f in range(0, 20, 5)] + [shade(f, 0) for f in range(0, 10, 5)]
    picture = stats["observation.images.head"]
    assert np.shape(picture["mean"]) == (3, 1, 1)
    np.testing.assert_allclose(picture["mean"], np.full((3, 1, 1), np.mean(looked_at) / 255), atol=1e-9)
    assert picture["count"] == [6]


def test_a_second_task_gets_its_own_index(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 4)
    episode = dataset.begin()
    append(episode, twin, layout, range(3), "fold")
    append(episode, twin, layout, range(3, 5), "open the box")
    dataset.close(episode)
    recording = DatasetReader(dataset.root)[1]
    assert recording.instructions == ["fold"] * 3 + ["open the box"] * 2
    assert recording.described.tasks == ("fold", "open the box")
    assert not examine(dataset.root, layout, deep=True).problems


def test_an_episode_can_be_discarded_and_an_empty_one_leaves_nothing(opened, twin, layout):
    dataset = opened()
    episode = dataset.begin()
    append(episode, twin, layout, range(5))
    dataset.discard(episode)
    assert dataset.close(dataset.begin()) is None
    assert record(dataset, twin, layout, 4).index == 0
    assert not list((dataset.root / "open").iterdir())
    assert not examine(dataset.root, layout).problems


def test_an_episode_can_be_marked_after_it_was_closed(opened, twin, layout):
    dataset = opened()
    record(dataset, twin, layout, 4)
    dataset.mark(0, success=False)
    assert DatasetReader(dataset.root)[0].described.success == "failure"
    assert examine(dataset.root, layout).failures == 1
    with pytest.raises(DatasetError, match="episode"):
        dataset.mark(1, success=True)


def test_recording_goes_on_where_it_ended(opened, twin, layout):
    record(opened(color=AV1), twin, layout, 4)
    again = opened(color=H264)
    assert again.recovered == []
    assert again.codecs["color"] == AV1
    assert record(again, twin, layout, 5).index == 1
    assert not examine(again.root, layout, deep=True).problems


def test_a_place_that_cannot_be_a_dataset_is_named(tmp_path, layout, twin):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "locked" / ".lock").mkdir(parents=True)
    for name, words in (
        ("file/set", "got a file at"),
        ("dangling", "got a link to nothing at"),
        ("locked", "may not be written (Is a directory)"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            Dataset(tmp_path / name, layout, twin)


def test_two_processes_cannot_record_into_one_dataset(opened, tmp_path, layout, twin):
    opened()
    with pytest.raises(ConfigError, match="another process"):
        Dataset(tmp_path / "set", layout, twin)


def test_another_robots_recorder_is_refused(opened, tmp_path, layout, twin):
    record(opened(), twin, layout, 3)
    opened().release()
    for other, words in (
        (replace(twin, name="other"), "robot: expected other"),
        (replace(twin, cameras=tuple(replace(c, rate_hz=30) for c in twin.cameras)), "rate: expected 30 fps"),
        (replace(twin, arms=twin.arms[::-1]), "order of names"),
    ):
        with pytest.raises(ConfigError, match=words):
            Dataset(tmp_path / "set", small_layout(other), other)
    with pytest.raises(ConfigError, match="pictures"):
        Dataset(tmp_path / "set", layout_of(twin), twin)


def test_rows_are_refused_whole_when_the_encoder_is_behind(opened, twin, layout):
    dataset = opened()
    episode = dataset.begin(room=2)
    row = row_at(twin, 0)
    from tests.unit.dataset_support import pictures_of, values_of

    values = {**values_of(row, twin, layout.cameras), "instruction": "fold"}
    taken = sum(episode.append({**values, "stamp_ns": n}, pictures_of(layout, row)) for n in range(300))
    assert taken == episode.rows < 300
    assert episode.refused == 300 - taken
    assert dataset.close(episode).length == taken
    assert not examine(dataset.root, layout, deep=True).problems


class Crash(BaseException):
    """The computer stops here."""


def test_a_crash_at_any_step_of_closing_loses_nothing(tmp_path, twin, monkeypatch):
    """Every call that changes what is on the disk is a step; the computer stops at each of them once."""
    layout, root, steps = layout_of(twin, ["head"], archive_depth=True), tmp_path / "set", 0
    while True:
        dataset = Dataset(root, layout, twin)
        closed_before = len(dataset.episodes)
        episode = dataset.begin(room=100)
        append(episode, twin, layout, range(6))
        episode.finish({"success": "", "ended": "stopped", "ledger": {}})
        crashed = _close_with_a_crash(dataset, episode, steps, monkeypatch)
        dataset.release()
        dataset = Dataset(root, layout, twin)
        dataset.release()
        assert [e.length for e in dataset.episodes] == [6] * (closed_before + 1), f"step {steps}"
        found = examine(dataset.root, layout)
        assert not found.problems, f"step {steps}"
        assert found.frames == 6 * (closed_before + 1)
        steps += 1
        if not crashed:
            break
        if closed_before == 2:
            shutil.rmtree(root)
    assert steps > 15


def _close_with_a_crash(dataset, episode, at, monkeypatch):
    left = at

    def counting(do):
        def step(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return do(*args, **kwargs)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_file", counting(disk.sync_file))
        patch.setattr(type(dataset.root), "replace", counting(type(dataset.root).replace))
        patch.setattr(type(dataset.root), "rename", counting(type(dataset.root).rename))
        patch.setattr(disk.shutil, "rmtree", counting(disk.shutil.rmtree))
        try:
            dataset._finish(episode.folder)
        except Crash:
            return True
    return False


@pytest.mark.parametrize("seed", range(8))
def test_an_open_episode_that_is_cut_off_anywhere_is_kept_up_to_there(opened, twin, layout, tmp_path, seed):
    dataset = opened()
    record(dataset, twin, layout, 5)
    episode = dataset.begin(room=100)
    append(episode, twin, layout, range(20))
    for part in episode._lanes:
        part.finish()
    rng = np.random.default_rng(seed)
    victims = [p for p in episode.folder.iterdir() if p.name not in ("episode.json",)]
    for path in victims:
        if rng.random() < 0.5:
            with path.open("rb+") as file:
                file.truncate(int(rng.integers(0, path.stat().st_size + 1)))
    again = opened()
    kept = sum(e.length for e in again.episodes) - 5
    assert 0 <= kept <= 20
    assert again.recovered
    assert not examine(again.root, layout, deep=True).problems
    assert record(again, twin, layout, 3).index == len(again.episodes) - 1


def test_a_full_disk_ends_the_episode_and_what_was_written_is_whole(opened, twin, layout, monkeypatch):
    dataset = opened()
    episode = dataset.begin(room=200)
    append(episode, twin, layout, range(10))
    assert dataset.has_space_for(episode)
    monkeypatch.setattr(dataset_module, "free_bytes", lambda _: dataset_module.RESERVE_BYTES)
    assert not dataset.has_space_for(episode)
    assert dataset.close(episode, ended="disk full").length == 10
    assert not examine(dataset.root, layout, deep=True).problems
    monkeypatch.setattr(dataset_module, "free_bytes", lambda _: dataset_module.RESERVE_BYTES - 1)
    with pytest.raises(DatasetError, match="make room"):
        dataset.begin()


def test_a_video_that_fails_half_way_ends_the_episode_where_it_failed(opened, twin, layout, monkeypatch):
    monkeypatch.setattr(lane, "SYNC_S", 0.0)
    dataset = opened()
    episode = dataset.begin(room=200)
    append(episode, twin, layout, range(10))
    video = episode._streams["observation.images.head"]
    bad = np.zeros((10, 10, 3), np.uint8)
    video.put(bad)
    append(episode, twin, layout, range(10, 14))
    ended = dataset.close(episode, ended="error")
    assert ended.length == 10
    assert "4 rows without pictures cut" in ended.ended
    assert "expected (48, 64), got (10, 10)" in str(episode.error)
    assert not examine(dataset.root, layout, deep=True).problems


def test_the_codec_is_what_the_machine_can_afford():
    assert choose_color_codec(48, 64, 1, 1) == AV1
    assert choose_color_codec(480, 640, 8, 240) == H264
