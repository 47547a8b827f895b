# SPDX-License-Identifier: Apache-2.0
"""X-WAM has the released tensors, is the Wan family's stack of blocks, and its depth branch only listens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.unit.test_models_parity import diffusers_transformer, loaded_from_block
from tests.xwam_support import BATCH, micro, micro_model, noisy, observed
from wam_ros.core.errors import ConfigError
from wam_ros.models.rope import video_rotation
from wam_ros.models.xwam.model import build
from wam_ros.models.xwam.params import FULL, TINY, sized
from wam_ros.models.xwam.places import row_places, state_places

FIXTURE = Path(__file__).parents[1] / "fixtures" / "xwam_full_names.json"


@pytest.fixture(scope="module")
def full():
    return build(FULL, "meta", torch.bfloat16)


def block_shapes() -> dict[str, list[int]]:
    """One block, written out from the released checkpoint's description."""
    d, f = 3072, 14336
    shapes: dict[str, list[int]] = {"modulation": [1, 6, d], "norm3.weight": [d], "norm3.bias": [d]}
    for attention in ("self_attn", "cross_attn"):
        for name in "qkvo":
            shapes |= {f"{attention}.{name}.weight": [d, d], f"{attention}.{name}.bias": [d]}
        shapes |= {f"{attention}.norm_{name}.weight": [d] for name in "qk"}
    return shapes | {"ffn.0.weight": [f, d], "ffn.0.bias": [f], "ffn.2.weight": [d, f], "ffn.2.bias": [d]}


def linear(name: str, out: int, into: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [out, into], f"{name}.bias": [out]}


def released() -> dict[str, list[int]]:
    d = 3072
    names = {"patch_embedding.weight": [d, 48, 1, 2, 2], "patch_embedding.bias": [d], "view_embedding.weight": [3, d]}
    names |= linear("text_embedding.0", d, 4096) | linear("text_embedding.2", d, d)
    names |= (
        linear("time_embedding.0", d, 256) | linear("time_embedding.2", d, d) | linear("time_projection.1", 6 * d, d)
    )
    roots = [f"blocks.{i}" for i in range(30)] + [f"extra_blocks.0.{i}" for i in range(10)]
    names |= {f"{root}.{name}": shape for root in roots for name, shape in block_shapes().items()}
    for head in ("head", "extra_heads.0"):
        names |= linear(f"{head}.head", 192, d) | {f"{head}.modulation": [1, 2, d]}
    for vector, width in (("action", 14), ("proprio", 16)):
        names |= linear(f"{vector}_encoder.0", d, width) | linear(f"{vector}_encoder.2", d, d)
        names |= linear(f"{vector}_decoder.0", d, d) | linear(f"{vector}_decoder.2", width, d)
    return names


def test_the_full_model_has_the_1115_released_tensors(full):
    ours = {name: list(tensor.shape) for name, tensor in full.state_dict().items()}
    assert len(ours) == 1115
    assert ours == released() == json.loads(FIXTURE.read_text(encoding="utf-8"))


def test_the_full_model_has_the_released_number_of_parameters(full):
    counts = {name: p.numel() for name, p in full.named_parameters()}
    assert sum(counts.values()) == 6_674_911_646
    assert sum(count for name, count in counts.items() if name.startswith("extra_")) == 1_637_163_200


def test_the_full_sequence_has_761_tokens_at_the_released_places():
    assert (FULL.video_tokens, FULL.tokens) == (720, 761)
    assert_close(row_places(FULL), torch.arange(32, dtype=torch.float64) / 16)
    assert_close(state_places(FULL), torch.arange(9, dtype=torch.float64) / 4)


def test_the_tiny_model_is_small_and_has_the_same_names_beside_its_stem(full):
    tiny = build(TINY)
    assert sum(p.numel() for p in tiny.parameters()) <= 4_000_000
    beside = {name.split(".")[0] for name in tiny.state_dict() if name not in full.state_dict()}
    assert beside == {"stem", "position"}


def test_the_depth_branch_starts_as_a_copy_of_the_last_layers():
    model = build(micro())
    for twin, block in zip(model.depth_blocks, model.layers[-2:], strict=True):
        for a, b in zip(twin.parameters(), block.parameters(), strict=True):
            assert_close(a, b, rtol=0, atol=0)


def test_our_trunk_is_a_stack_of_diffusers_wan_blocks():
    module = diffusers_transformer()
    model = micro_model()
    p, seen, given = model.sizes, observed(model.sizes), noisy(model.sizes)
    time = model.time(model.token_times(given.video_time, given.action_time))
    start, text = model.embed(model.embed_observed(seen), given), model.text(seen.text)
    x, both = start, [part.repeat_interleave(2, dim=1)[None, :, None] for part in model.placing()]
    for block in model.layers:
        theirs = module.WanTransformerBlock(24, 32, 2, cross_attn_norm=True, eps=1e-6)
        theirs.load_state_dict(loaded_from_block(block), strict=True)
        x = theirs(x, text, time.six, both)
    ours = model.flow(start, time, model.placing(), text, depth=True).main
    assert ours.shape == (BATCH, p.tokens, 24)
    assert_close(ours, x, rtol=0, atol=2e-5)


def test_views_share_their_places_and_differ_by_their_embedding():
    model = micro_model()
    cos, _ = model.placing()
    n = model.latent.tokens_per_frame
    assert_close(cos[:n], cos[n : 2 * n])
    assert_close(cos[: 2 * n : 1][:n], video_rotation(torch.arange(1), *model.latent.grid, 12)[0])
    seen, given = observed(model.sizes), noisy(model.sizes)
    swapped = seen._replace(latent=seen.latent.flip(3)), given._replace(video=given.video.flip(3))
    before, after = model.predict(seen, given), model.predict(*swapped)
    assert (before.video - after.video.flip(3)).abs().max() > 1e-2
    model.view_embedding.weight[:] = model.view_embedding.weight[0]
    before, after = model.predict(seen, given), model.predict(*swapped)
    assert_close(before.video, after.video.flip(3), rtol=0, atol=2e-5)


def test_time_stands_still_for_what_was_observed():
    p = micro()
    times = micro_model().token_times(torch.tensor([800.0]), torch.tensor([300.0]))[0]
    n, m = p.tokens_per_frame, p.video_tokens
    expected = [0.0] * n + [800.0] * (m - n) + [300.0] * p.horizon + [0.0] + [300.0] * (p.states - 1)
    assert times.tolist() == expected


@pytest.mark.parametrize("stem", [False, True])
def test_the_depth_branch_changes_nothing_in_the_main_branch(stem):
    model = micro_model(stem=stem)
    seen, given = observed(model.sizes), noisy(model.sizes)
    without, before = model.predict(seen, given), model.predict(seen, given, depth=True)
    for name, parameter in model.named_parameters():
        if name.startswith("extra_"):
            parameter.add_(torch.randn_like(parameter))
    after = model.predict(seen, given, depth=True)
    for part in ("video", "actions", "states"):
        assert torch.equal(getattr(before, part), getattr(after, part))
        assert torch.equal(getattr(before, part), getattr(without, part))
    assert without.depth is None
    assert (before.depth - after.depth).abs().max() > 0.1


def test_the_depth_branch_may_be_run_on_the_first_samples_only():
    model = micro_model()
    seen, given = observed(model.sizes), noisy(model.sizes)
    whole, part = model.predict(seen, given, depth=True), model.predict(seen, given, depth=True, deep=1)
    assert_close(part.depth, whole.depth[:1])
    assert torch.equal(part.actions, whole.actions)


def test_rows_may_be_predicted_without_later_video():
    model = micro_model()
    seen, given = observed(model.sizes), noisy(model.sizes)
    short = given._replace(video=given.video[:, :, :0])
    found = model.predict(seen, short)
    assert found.actions.shape == given.actions.shape
    assert found.states.shape == given.states.shape
    assert found.video.shape == short.video.shape
    # Video at any time is nothing to it: there is none.
    assert torch.equal(found.actions, model.predict(seen, short._replace(video_time=given.video_time + 1)).actions)
    assert not torch.allclose(found.actions, model.predict(seen, given).actions)
    # What is left of the sequence keeps its places: that of frames is not shifted to rows.
    whole, cut = model.placing(), model.placing(0)
    n, m = model.sizes.tokens_per_frame, model.sizes.video_tokens
    for all_places, fewer in zip(whole, cut, strict=True):
        assert torch.equal(fewer, torch.cat((all_places[:n], all_places[m:])))


def test_the_depth_branch_reads_every_modality_of_the_main_branch():
    model = micro_model()
    seen, given = observed(model.sizes), noisy(model.sizes)
    depth = model.predict(seen, given, depth=True).depth
    assert depth.shape == (BATCH, *model.sizes.video_shape)
    for part in ("video", "actions", "states"):
        changed = given._replace(**{part: getattr(given, part) + 1})
        assert (model.predict(seen, changed, depth=True).depth - depth).abs().max() > 1e-3


def test_latents_pass_through_tokens_in_the_order_time_view_row_column():
    """With an identity for the embedding, what comes out of ``frames`` is what went in."""
    model = micro_model()
    latent = torch.randn(1, *model.sizes.video_shape)
    c, _, v, h, w = model.sizes.video_shape
    patches = latent.reshape(1, c, 3, v, h // 2, 2, w // 2, 2).permute(0, 2, 3, 4, 6, 5, 7, 1)
    assert_close(model.frames(patches.reshape(1, model.sizes.video_tokens, -1)), latent)


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ("huge", {}),
        ("tiny", {"horizont": 3}),
        ("tiny", {"view_height": 100}),
        ("tiny", {"states": 4}),
        ("tiny", {"depth_layers": 6}),
        ("tiny", {"action_steps": 51}),
    ],
)
def test_parameters_that_do_not_exist_or_fit_are_refused(size, changes):
    with pytest.raises(ConfigError):
        sized(size, **changes)
