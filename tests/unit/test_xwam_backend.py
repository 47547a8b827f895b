# SPDX-License-Identifier: Apache-2.0
"""The X-WAM backend: the contract, actions first, what it imagines and for whom, and released checkpoints."""

import argparse
import dataclasses
import pickle

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from tests.backend_conformance import BackendConformance
from tests.xwam_checkpoint import CAMERAS, DEPTH, MOSAIC, policy_of, random_checkpoint, random_model, released_files
from wam_ros.core.card import Normaliser
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.types import JointState, Trajectory
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.card import read_card
from wam_ros.models.xwam import checkpoint
from wam_ros.models.xwam.convert import read_released, read_statistics
from wam_ros.models.xwam.params import from_card
from wam_ros.policies.base import Imaginative, Telling
from wam_ros.policies.worker import Worker
from wam_ros.policies.xwam import XWam
from wam_ros.training.conversion import add_arguments, check_checkpoint, convert


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    random_checkpoint(path)
    return path


def loaded(folder, **options):
    backend = XWam()
    backend.load(policy_of(folder, **options), load_robot("sim_r1_lite"), load_task("towel_fold"))
    return backend


class TestXWam(BackendConformance):
    @pytest.fixture(autouse=True)
    def _checkpoint(self, folder):
        self.folder = folder

    def make(self):
        return loaded(self.folder)

    def test_a_chunk_has_the_policys_rows_and_the_robots_joints(self, warm):
        chunk = warm.infer(warm.example_request())
        assert chunk.names == load_robot("sim_r1_lite").joint_names
        assert chunk.positions.shape == (16, 14)
        assert np.allclose(np.diff(chunk.offsets_ns), 1e8)

    def test_the_example_has_the_shapes_of_the_policy_and_the_robot(self, warm):
        assert warm.example_request().mosaic.shape == (MOSAIC.height, MOSAIC.width, 3)


def never():
    return False


def test_nothing_is_computed_for_pictures_that_nobody_wants(folder):
    backend, calls = loaded(folder), []
    predict = backend._engine.predict
    backend._engine.predict = lambda *a: calls.append(a) or predict(*a)
    request = backend.example_request()
    backend.infer(request)
    assert len(calls) == 2
    assert backend.imagine(never) is None
    backend.imagining = True
    backend.infer(request)
    assert len(calls) == 4  # the chunk is out before the rest is begun
    assert backend.imagine(never) is not None
    assert len(calls) == 6
    assert backend.imagine(never) is None


def test_watching_does_not_change_the_chunk(folder):
    backend = loaded(folder)
    request = backend.example_request()
    alone = backend.infer(request)
    backend.imagining = True
    np.testing.assert_allclose(backend.infer(request).positions, alone.positions, atol=1e-6)


def test_what_is_imagined_has_pictures_and_metres_of_every_camera(folder):
    backend = loaded(folder)
    backend.imagining = True
    request = backend.example_request()
    backend.infer(request)
    seen = backend.imagine(never)
    assert isinstance(backend, Imaginative)
    assert seen.offsets_ns == (0, 800_000_000, 1_600_000_000)
    assert tuple(seen.colors) == tuple(seen.depths_m) == CAMERAS
    for camera in CAMERAS:
        assert seen.colors[camera].shape == (3, 64, 80, 3)
        assert seen.colors[camera].dtype == np.uint8
        assert seen.depths_m[camera].shape == (3, 64, 80)
        assert ((seen.depths_m[camera] >= DEPTH.near_m - 1e-6) & (seen.depths_m[camera] <= DEPTH.far_m + 1e-6)).all()
    # The clip begins with what the camera saw, at half resolution.
    saw = request.mosaic[:, :80].astype(float).reshape(32, 2, 40, 2, 3).mean((1, 3))
    assert np.abs(seen.colors["head"][0][::2, ::2] - saw).max() <= 1


def test_a_card_without_a_depth_coding_gives_no_metres(tmp_path):
    random_checkpoint(tmp_path, depth=None)
    backend = loaded(tmp_path)
    backend.imagining = True
    backend.infer(backend.example_request())
    seen = backend.imagine(never)
    assert seen.depths_m is None
    assert set(seen.colors) == set(CAMERAS)


def test_imagining_ends_when_it_is_cancelled(folder):
    backend, answers = loaded(folder), iter([False, True])
    backend.imagining = True
    backend.infer(backend.example_request())
    assert backend.imagine(lambda: next(answers)) is None
    assert next(answers, None) is None  # asked after each call, not once


def test_the_future_of_another_committed_motion_is_another_one(folder):
    backend = loaded(folder, imagine="committed")
    backend.imagining = True
    request = backend.example_request()
    still = np.array(request.observation.joints.position)
    futures = []
    for drift in (0.0, 0.2):
        path = still + drift * np.arange(1, 9)[:, None] / 8
        times = tuple(100_000_000 * (k + 1) for k in range(8))
        committed = Trajectory(request.observation.joints.names, times, path, np.zeros_like(path))
        backend.infer(dataclasses.replace(request, committed=committed))
        futures.append(backend.imagine(never))
    assert any(np.any(futures[0].colors[c][-1] != futures[1].colors[c][-1]) for c in CAMERAS)


def test_a_worker_lets_its_backend_imagine_for_those_who_listen(folder):
    changes = []
    worker = Worker(
        XWam(),
        policy_of(folder),
        load_robot("sim_r1_lite"),
        load_task("towel_fold"),
        on_change=lambda: changes.append(1),
    )
    try:
        assert wait_until(worker, lambda: worker.idle)
        request = loaded(folder).example_request()
        worker.submit(request)
        assert wait_until(worker, lambda: worker.finished)
        assert worker.take() is not None
        worker.listening = True
        worker.submit(request)
        assert wait_until(worker, lambda: worker.imagined.newest is not None)
        assert worker.take() is not None
        assert worker.imagined.take().stamp_ns == request.observation.stamp_ns
    finally:
        assert worker.close(timeout_s=30)


def wait_until(worker, happened, patience=3000):
    for _ in range(patience):
        if happened():
            return True
        with worker._changed:
            worker._changed.wait(0.01)
    return False


def test_poses_out_of_reach_are_told(folder):
    backend = loaded(folder)
    backend.infer(backend.example_request())
    assert backend.figures()["rows_unreached"] == 0
    backend._card = dataclasses.replace(
        backend._card, action_normaliser=Normaliser("quantile", (-0.1,) * 14, (0.1,) * 14)
    )
    backend.infer(backend.example_request())
    assert isinstance(backend, Telling)
    assert backend.figures()["rows_unreached"] > 0
    assert backend.figures()["unreached_mm"] > 10


def test_bad_joints_and_options_are_refused(folder):
    backend = loaded(folder)
    request = backend.example_request()
    joints = np.array(request.observation.joints.position)
    joints[3] = np.nan
    bad = dataclasses.replace(request.observation, joints=JointState(0, request.observation.joints.names, joints))
    with pytest.raises(BackendError, match="NaN"):
        backend.infer(dataclasses.replace(request, observation=bad))
    for options in ({"imagine": "dreams"}, {"chunking": "inpaint"}, {"device": "cuda:9"}):
        if options.get("device") and torch.cuda.is_available():
            continue
        with pytest.raises(ConfigError, match="policy option"):
            loaded(folder, **options)


def options(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_released_checkpoint_keeps_the_transformer_alone_and_is_loaded_strictly(tmp_path, monkeypatch):
    source, config = released_files(tmp_path)
    monkeypatch.setattr("wam_ros.training.xwam_conversion.load_policy", lambda _: policy_of(tmp_path))
    out = tmp_path / "out"
    words = (source, "--family", "xwam", "--out", out, "--robot", "sim_r1_lite", "--size", "tiny", "--stats", config)
    lines = convert(options(*words, "--precision", "float32"))
    card = read_card(out)
    assert card.family == "xwam"
    assert (card.state.kind, card.action.kind) == ("pose_scalar_first", "pose_steps")
    assert (len(card.state.names), len(card.action.names), card.text_length) == (16, 14, 8)
    assert card.depth is None
    assert any("no metres" in line for line in lines)
    model = checkpoint.load_model(out, card)
    for name, tensor in random_model()[1].state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    convert(options(*words, "--depth", "0.1", "2.0"))
    assert read_card(out).depth == DEPTH


def test_statistics_keep_quaternions_and_clamp_nothing(tmp_path):
    _, config = released_files(tmp_path)
    state, action = read_statistics(config)
    raw = np.tile([0.5, -0.25, 0.0, 0.7, 0.1, -0.7, 0.1, 1.0], 2)
    np.testing.assert_allclose(state.forward(raw), np.tile([1.0, -0.5, 0.0, 0.7, 0.1, -0.7, 0.1, 1.0], 2))
    np.testing.assert_allclose(
        action.forward(np.tile([0.02, 0, -0.04, 0.05, 0, 0, 1.0], 2))[:7], [1, 0, -2, 1, 0, 0, 10]
    )
    config.write_text(yaml.safe_dump({"data": {}}))
    with pytest.raises(ConfigError, match="statistics"):
        read_statistics(config)


def test_files_that_are_no_xwam_are_refused(tmp_path):
    file = tmp_path / "states.pt"
    torch.save({"module": {"model.x": torch.zeros(1), "strange": torch.zeros(1)}}, file)
    with pytest.raises(ConfigError, match="strange"):
        read_released(file)
    torch.save({"module": {"vae.mean": torch.zeros(1)}}, file)
    with pytest.raises(ConfigError, match="no tensors"):
        read_released(file)
    torch.save({"module": {}, "evil": options}, file, pickle_module=pickle)
    with pytest.raises(ConfigError, match="never run"):
        read_released(file)
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError):
        read_released(file)


def test_a_trained_checkpoint_is_checked_and_described(folder):
    assert "xwam depth tiny" in check_checkpoint(folder)[0]
    assert from_card(read_card(folder)).views == 3
