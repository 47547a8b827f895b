# SPDX-License-Identifier: Apache-2.0
"""The older format holds the same rows and pictures."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.dataset_support import record, shade, small, small_layout
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.export_v21 import export_v21
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.video import decode


@pytest.fixture
def root(robot, tmp_path):
    twin = small(robot)
    layout = small_layout(twin)
    dataset = Dataset(tmp_path / "set", layout, twin)
    for count in (8, 5):
        record(dataset, twin, layout, count)
    dataset.release()
    return dataset.root


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_older_format_holds_the_same(root, tmp_path):
    target = tmp_path / "old"
    assert export_v21(root, target) == 2
    info = json.loads((target / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_videos"], info["total_chunks"]) == ("v2.1", 8, 1)
    assert (info["total_episodes"], info["total_frames"]) == (2, 13)
    assert lines(target / "meta/tasks.jsonl") == [{"task_index": 0, "task": "fold"}]
    assert [(e["episode_index"], e["length"], e["tasks"]) for e in lines(target / "meta/episodes.jsonl")] == [
        (0, 8, ["fold"]),
        (1, 5, ["fold"]),
    ]
    for recording, stats in zip(DatasetReader(root), lines(target / "meta/episodes_stats.jsonl"), strict=True):
        where = {"episode_chunk": 0, "episode_index": recording.described.index}
        table = pq.read_table(target / info["data_path"].format(**where))
        assert table.equals(recording.table)
        np.testing.assert_allclose(stats["stats"]["action"]["mean"], recording.actions.mean(axis=0), rtol=1e-9)
        pictures = [found for key, found in stats["stats"].items() if "images" in key]
        assert len(pictures) == 4
        assert {np.shape(found[name]) for found in pictures for name in ("min", "max", "mean", "std")} == {(3, 1, 1)}
        video = target / info["video_path"].format(video_key="observation.images.left_wrist", **where)
        shades = [float(picture.mean()) for picture in decode(video)]
        np.testing.assert_allclose(shades, [shade(n, 1) for n in range(len(recording))], atol=2)


def test_a_dataset_with_a_problem_is_not_exported(root, tmp_path):
    (root / "meta/tasks.parquet").unlink()
    with pytest.raises(DatasetError, match=r"tasks\.parquet"):
        export_v21(root, tmp_path / "old")
    assert not (tmp_path / "old").exists()


def test_what_exists_is_not_overwritten(root, tmp_path):
    export_v21(root, tmp_path / "old")
    with pytest.raises(ConfigError, match="choose a new folder"):
        export_v21(root, tmp_path / "old")
