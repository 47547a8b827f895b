# SPDX-License-Identifier: Apache-2.0
"""Foreign checkpoints: names, strictness, and that no code in a pickle ever runs."""

import json
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from safetensors.torch import save_file

from wam_ros.core.errors import ConfigError
from wam_ros.models.convert import official_name, read_dataset_stats, read_weights, require_exact


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("mixtures.video.blocks.3.self_attn.q.weight", "mot.mixtures.video.blocks.3.self_attn.q.weight"),
        ("model.mot.layers.7.blocks.action.ffn.0.bias", "mot.mixtures.action.blocks.7.ffn.0.bias"),
        ("mot.mixtures.action.head.weight", "mot.mixtures.action.head.weight"),
        ("blocks.29.modulation", "mot.mixtures.video.blocks.29.modulation"),
        ("model.proprio_encoder.weight", "proprio_encoder.weight"),
    ],
)
def test_every_known_form_gets_the_official_name(name, official):
    assert official_name(name) == official


def test_the_official_dict_is_flattened(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(
        {"mot": {"mixtures.video.x": torch.ones(2)}, "proprio_encoder": {"weight": torch.zeros(3)}, "step": 7}, path
    )
    assert set(read_weights(path)) == {"mot.mixtures.video.x", "proprio_encoder.weight"}


def test_shards_of_the_plain_video_model_become_the_video_expert(tmp_path):
    save_file({"blocks.0.modulation": torch.ones(1)}, tmp_path / "a-00001-of-00002.safetensors")
    save_file({"head.modulation": torch.ones(1)}, tmp_path / "a-00002-of-00002.safetensors")
    assert set(read_weights(tmp_path)) == {
        "mot.mixtures.video.blocks.0.modulation",
        "mot.mixtures.video.head.modulation",
    }


class Canary:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_inside_a_pickle_is_refused_and_never_runs(tmp_path):
    path, canary = tmp_path / "evil.pt", tmp_path / "canary"
    torch.save({"mot": Canary(canary)}, path)
    with pytest.raises(ConfigError, match="code in it is never run"):
        read_weights(path)
    assert not canary.exists()


def test_a_truncated_file_is_refused_with_the_remedy(tmp_path):
    whole, cut = tmp_path / "whole.pt", tmp_path / "cut.pt"
    torch.save({"mot": {"mixtures.video.x": torch.ones(1000)}}, whole)
    cut.write_bytes(whole.read_bytes()[:700])
    with pytest.raises(ConfigError, match="download it again"):
        read_weights(cut)
    save_file({"x": torch.ones(1000)}, tmp_path / "w.safetensors")
    (tmp_path / "c.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:900])
    with pytest.raises(ConfigError, match="download it again"):
        read_weights(tmp_path / "c.safetensors")


def test_loading_is_strict_but_for_what_is_allowed_by_name():
    expected = {"a": (2,), "head.w": (3,)}
    assert require_exact(expected, {"a": torch.ones(2)}, ["head."]) == ["head.w"]
    for tensors, fault in (
        ({"a": torch.ones(2)}, "missing head.w"),
        ({"a": torch.ones(2), "head.w": torch.ones(3), "b": torch.ones(1)}, "unexpected b"),
        ({"a": torch.ones(4), "head.w": torch.ones(3)}, r"a: expected \(2,\), got \(4,\)"),
    ):
        with pytest.raises(ConfigError, match=fault):
            require_exact(expected, tensors)


def test_official_statistics_become_a_normaliser(tmp_path):
    path = tmp_path / "dataset_stats.json"
    path.write_text(json.dumps({"action": {"default": {"global_mean": [1.0], "global_std": [2.0]}}}))
    normaliser = read_dataset_stats(path, "action", "z_score")
    np.testing.assert_allclose(normaliser.forward(np.array([3.0])), [1.0], atol=1e-6)
    with pytest.raises(ConfigError, match="no action statistics for quantile"):
        read_dataset_stats(path, "action", "quantile")
