# SPDX-License-Identifier: Apache-2.0
"""The Fast-WAM backend: the contract, what it refuses, and how its chunks continue what is committed."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from tests.backend_conformance import BackendConformance
from tests.checkpoint_support import policy_of, random_checkpoint
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.types import NS_PER_S, JointState, Trajectory
from wam_ros.files.assets import load_robot, load_task
from wam_ros.policies.fastwam import FastWam


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("checkpoint")
    random_checkpoint(path)
    return path


def loaded(folder, **options):
    backend = FastWam()
    backend.load(policy_of(folder, **options), load_robot("sim_r1_lite"), load_task("towel_fold"))
    return backend


class TestFastWam(BackendConformance):
    @pytest.fixture(autouse=True)
    def _checkpoint(self, folder):
        self.folder = folder

    def make(self):
        return loaded(self.folder)


def with_committed(request, delay_s, drift=0.02):
    """The same request with a committed motion that leaves the observed pose slowly."""
    stamp, names = request.observation.stamp_ns, request.observation.joints.names
    times = tuple(stamp + round((k + 1) * NS_PER_S / 15) for k in range(32))
    path = np.array(request.observation.joints.position) + drift * np.arange(1, 33)[:, None] / 32
    committed = Trajectory(names, times, path, np.zeros_like(path))
    return dataclasses.replace(request, committed=committed, delay_s=delay_s)


@pytest.mark.parametrize("chunking", ["inpaint", "guided"])
def test_a_guided_chunk_begins_on_the_committed_rows(folder, chunking):
    backend, plain = loaded(folder, chunking=chunking), loaded(folder)
    request = with_committed(backend.example_request(), delay_s=0.35)
    committed = request.committed.positions[:6, :6]  # 0.35 s at 15 Hz is six rows
    free = np.abs(plain.infer(request).positions[:6, :6] - committed).max()
    held = np.abs(backend.infer(request).positions[:6, :6] - committed).max()
    # The last Euler step alone removes 1 - 0.357 * 2.36 of a fully weighted error.
    assert held < (1e-5 if chunking == "inpaint" else 0.25 * free)


def test_the_rows_behind_the_prefix_stay_free(folder):
    backend, plain = loaded(folder, chunking="inpaint"), loaded(folder)
    request = with_committed(backend.example_request(), delay_s=0.2)
    last = backend.infer(request).positions[-1] - request.committed.positions[-1]
    assert (
        np.abs(last).max() > 0.25 * np.abs(plain.infer(request).positions[-1] - request.committed.positions[-1]).max()
    )


def test_a_model_trained_to_continue_gives_the_frozen_rows_back(tmp_path):
    random_checkpoint(tmp_path, prefix_rows=10)
    backend = loaded(tmp_path, chunking="trained")
    request = with_committed(backend.example_request(), delay_s=0.35)
    np.testing.assert_allclose(backend.infer(request).positions[:6], request.committed.positions[:6], atol=1e-5)


def test_rollforward_starts_the_chunk_where_the_arms_will_be(folder):
    backend = loaded(folder, chunking="rollforward")
    request = with_committed(backend.example_request(), delay_s=0.35)
    chunk = backend.infer(request)
    assert chunk.offsets_ns[0] == pytest.approx(7 / 15 * NS_PER_S, abs=2)
    there = dataclasses.replace(request.observation.joints, position=request.committed.positions[5])
    moved = dataclasses.replace(
        request, committed=None, observation=dataclasses.replace(request.observation, joints=there)
    )
    np.testing.assert_allclose(chunk.positions, backend.infer(moved).positions, atol=1e-6)


def test_the_published_guidance_with_its_jacobian_also_pulls_to_the_prefix(tmp_path):
    # A random network's clean estimate does not depend on x, but a velocity's does: x - sigma v.
    random_checkpoint(tmp_path, target="velocity")
    backend, plain = loaded(tmp_path, chunking="guided", chunking_jacobian="vjp"), loaded(tmp_path)
    request = with_committed(backend.example_request(), delay_s=0.35)
    committed = request.committed.positions[:6, :6]
    free = np.abs(plain.infer(request).positions[:6, :6] - committed).mean()
    assert np.abs(backend.infer(request).positions[:6, :6] - committed).mean() < free


def test_without_committed_rows_every_kind_of_chunking_changes_nothing(folder):
    request = loaded(folder).example_request()
    plain = loaded(folder).infer(request).positions
    for kind in ("inpaint", "guided", "rollforward"):
        np.testing.assert_array_equal(loaded(folder, chunking=kind).infer(request).positions, plain)


def test_a_checkpoint_that_was_not_trained_for_it_is_refused(folder):
    with pytest.raises(ConfigError, match="not trained to continue a prefix"):
        loaded(folder, chunking="trained")
    with pytest.raises(ConfigError, match="none or inpaint"):
        loaded(folder, chunking="magic")


def test_joints_that_are_not_numbers_are_refused(folder):
    backend = loaded(folder)
    request = backend.example_request()
    joints = JointState(request.observation.stamp_ns, request.observation.joints.names, np.full(14, np.nan))
    with pytest.raises(BackendError, match="NaN"):
        backend.infer(dataclasses.replace(request, observation=dataclasses.replace(request.observation, joints=joints)))


def test_a_card_of_another_rate_is_refused_before_anything_moves(tmp_path):
    random_checkpoint(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    card["rate_hz"] = 30.0
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="copy the value from the checkpoint's card"):
        loaded(tmp_path)


def test_a_prompt_that_was_never_embedded_is_refused_with_the_remedy(tmp_path):
    random_checkpoint(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    card["text_padding"] = "zero"
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="wam convert --prompt"):
        loaded(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    random_checkpoint(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="damaged"):
        loaded(tmp_path)
