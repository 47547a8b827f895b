# SPDX-License-Identifier: Apache-2.0
"""The full model has the released names, shapes and counts, so that loading renames nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from wam_ros.core.card import Card, Normaliser, VectorLayout
from wam_ros.core.errors import ConfigError
from wam_ros.core.policy import Mosaic
from wam_ros.models.convert import require_exact
from wam_ros.models.fastwam import build
from wam_ros.models.params import FULL, TINY, from_card, sized

FIXTURE = Path(__file__).parents[1] / "fixtures" / "fastwam_full_names.json"


@pytest.fixture(scope="module")
def full():
    return build(FULL, "meta", torch.bfloat16)


def block(expert: str, layer: int, hidden: int, ffn: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one block, written out from the released checkpoint's description."""
    inner = 3072
    shapes: dict[str, tuple[int, ...]] = {
        "modulation": (1, 6, hidden),
        "norm3.weight": (hidden,),
        "norm3.bias": (hidden,),
        "ffn.0.weight": (ffn, hidden),
        "ffn.0.bias": (ffn,),
        "ffn.2.weight": (hidden, ffn),
        "ffn.2.bias": (hidden,),
    }
    for attention in ("self_attn", "cross_attn"):
        for name in "qkv":
            shapes |= {f"{attention}.{name}.weight": (inner, hidden), f"{attention}.{name}.bias": (inner,)}
        shapes |= {f"{attention}.o.weight": (hidden, inner), f"{attention}.o.bias": (hidden,)}
        shapes |= {f"{attention}.norm_q.weight": (inner,), f"{attention}.norm_k.weight": (inner,)}
    return {f"mixtures.{expert}.blocks.{layer}.{name}": shape for name, shape in shapes.items()}


def linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def released() -> dict[str, tuple[int, ...]]:
    """All tensors under ``mot`` of a released checkpoint with 14 action dimensions."""
    names: dict[str, tuple[int, ...]] = {}
    for expert, hidden, ffn in (("video", 3072, 14336), ("action", 1024, 4096)):
        root = f"mixtures.{expert}"
        names |= linear(f"{root}.text_embedding.0", hidden, 4096) | linear(f"{root}.text_embedding.2", hidden, hidden)
        names |= linear(f"{root}.time_embedding.0", hidden, 256) | linear(f"{root}.time_embedding.2", hidden, hidden)
        names |= linear(f"{root}.time_projection.1", 6 * hidden, hidden)
        for layer in range(30):
            names |= block(expert, layer, hidden, ffn)
    names |= {
        "mixtures.video.patch_embedding.weight": (3072, 48, 1, 2, 2),
        "mixtures.video.patch_embedding.bias": (3072,),
        "mixtures.video.head.modulation": (1, 2, 3072),
    }
    names |= linear("mixtures.video.head.head", 192, 3072)
    return names | linear("mixtures.action.action_encoder", 1024, 14) | linear("mixtures.action.head", 14, 1024)


def test_the_full_model_has_the_1649_released_tensors(full):
    ours = {name: tuple(tensor.shape) for name, tensor in full.mot.state_dict().items()}
    assert len(ours) == 1649
    assert ours == released()
    require_exact(released(), full.mot.state_dict())


def test_the_stored_list_is_the_model(full):
    ours = {name: list(tensor.shape) for name, tensor in full.state_dict().items()}
    assert json.loads(FIXTURE.read_text(encoding="utf-8")) == ours


def test_the_experts_have_the_released_numbers_of_parameters(full):
    assert sum(p.numel() for p in full.video.parameters()) == 4_999_787_712
    assert sum(p.numel() for p in full.action.parameters()) == 1_020_900_366
    assert tuple(full.proprio_encoder.weight.shape) == (4096, 14)


def test_the_variants_share_one_layout_of_weights(full):
    for variant in ("joint", "idm", "no_co_train", "optional_idm"):
        assert build(sized("full", variant=variant), "meta").state_dict().keys() == full.state_dict().keys()


def test_the_tiny_model_is_small_and_has_the_same_names_beside_its_stem(full):
    tiny = build(TINY)
    assert sum(p.numel() for p in tiny.parameters()) <= 8_000_000
    beside = {name for name in tiny.state_dict() if name not in full.state_dict()}
    assert all(".stem." in name or name.endswith(".position") for name in beside)


@pytest.mark.parametrize(
    ("size", "changes"),
    [("huge", {}), ("tiny", {"horizont": 3}), ("tiny", {"picture_height": 100}), ("full", {"picture_width": 328})],
)
def test_parameters_that_do_not_exist_or_fit_are_refused(size, changes):
    with pytest.raises(ConfigError):
        sized(size, **changes)


def card(**changes) -> Card:
    layout = VectorLayout("joint_absolute", ("a", "b", "c"))
    unit = Normaliser("z_score", (-1.0,) * 3, (1.0,) * 3)
    fields = {
        **{"format": 1, "family": "fastwam", "variant": "joint", "size": "tiny", "target": "x0"},
        **{"shift_video": 5.0, "shift_action": 1.0, "steps": 4, "prompt_template": "{task}", "text_length": 6},
        **{"text_padding": "hashed", "mosaic": Mosaic(384, 320, ()), "state": layout, "action": layout},
        **{"state_normaliser": unit, "action_normaliser": unit, "rate_hz": 10.0, "horizon": 8, "execute_rows": 4},
        **{"licence": "", "source": "", "weights_sha256": "", "params": {"picture_height": 192, "picture_width": 160}},
    }
    return Card(**{**fields, **changes})


def test_a_card_says_which_model_to_build():
    params = from_card(card())
    assert (params.variant, params.target, params.steps) == ("joint", "x0", 4)
    assert (params.shift_video, params.shift_action) == (5.0, 1.0)
    assert (params.action_dim, params.proprio_dim, params.horizon, params.text_length) == (3, 3, 8, 6)
    assert params.latent.grid == (12, 10)


@pytest.mark.parametrize("change", [{"family": "xwam"}, {"variant": "abacus"}, {"size": "huge"}, {"params": {"x": 1}}])
def test_a_card_of_no_model_of_ours_is_refused(change):
    with pytest.raises(ConfigError):
        from_card(card(**change))
