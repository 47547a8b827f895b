# SPDX-License-Identifier: Apache-2.0
"""Three ways of running the model are one function, and that function is the Wan family's."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from tests.models_support import BATCH, VARIANTS, micro, micro_model, noisy, observed
from wam_ros.core.errors import ShapeError
from wam_ros.models.block import Block, FlowTime
from wam_ros.models.params import DiTParams, LatentParams
from wam_ros.models.rope import row_rotation, video_rotation
from wam_ros.models.video import VideoExpert

EXACT = {"rtol": 0.0, "atol": 1e-5}
ROUNDING = {"rtol": 0.0, "atol": 2e-6}


@pytest.mark.parametrize("stem", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_three_streams_are_the_masked_sequence(variant, stem):
    model = micro_model(variant, stem=stem)
    inputs = observed(model.params), noisy(model.params)
    whole, streams = model.masked(*inputs), model.predict(*inputs)
    assert_close(streams.future, whole.future, **ROUNDING)
    assert_close(streams.actions, whole.actions, **ROUNDING)
    assert whole.actions.std() > 0.1


def test_the_first_frame_alone_gives_the_actions_of_the_whole_clip():
    model = micro_model("main")
    seen, given = observed(model.params), noisy(model.params)
    scene = model.look(seen)
    assert_close(model.act(scene, given.actions, given.action_time), model.masked(seen, given).actions, **ROUNDING)


def test_a_look_serves_several_noise_draws_and_a_part_of_the_batch():
    model = micro_model("main")
    seen, a, b = observed(model.params), noisy(model.params, seed=3), noisy(model.params, seed=4)
    scene = model.look(seen)
    rows, times = torch.cat((a.actions, b.actions)), torch.cat((a.action_time, b.action_time))
    together = model.act(scene.repeat(2), rows, times)
    apart = torch.cat([model.predict(seen, part).actions for part in (a, b)])
    assert_close(together, apart, **ROUNDING)
    part, _ = model.imagine(scene.first(1), a.future[:1], a.future_time[:1])
    assert_close(part, model.predict(seen, a).future[:1], **ROUNDING)


def test_one_flow_time_for_all_rows_is_the_flow_time_of_each_row():
    model = micro_model("main")
    scene, given = model.look(observed(model.params)), noisy(model.params)
    each = given.action_time[:, None].expand(-1, model.params.horizon)
    assert_close(model.act(scene, given.actions, each), model.act(scene, given.actions, given.action_time), **ROUNDING)


def test_inverse_dynamics_wants_the_frames_that_are_read():
    model = micro_model("idm")
    blind = noisy(model.params)._replace(seen=None)
    with pytest.raises(ShapeError, match="seen"):
        model.predict(observed(model.params), blind)


def test_gradients_of_the_streams_are_those_of_the_masked_sequence():
    model = micro_model("joint").requires_grad_(True)
    inputs = observed(model.params), noisy(model.params)
    grads = []
    for run in (model.masked, model.predict):
        model.zero_grad()
        out = run(*inputs)
        (out.future.square().sum() + out.actions.square().sum()).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-4)


def diffusers_transformer():
    return pytest.importorskip(
        "diffusers.models.transformers.transformer_wan",
        reason="diffusers is not installed: no Wan block to compare with",
    )


def loaded_from_block(block: Block) -> dict[str, torch.Tensor]:
    """The block's weights under diffusers' names; beware that norm3 is called norm2 there."""
    names = {"self_attn": "attn1", "cross_attn": "attn2", "norm3": "norm2", "modulation": "scale_shift_table"}
    parts = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}
    out = {}
    for name, tensor in block.state_dict().items():
        first, *rest = name.split(".")
        if first.endswith("attn"):
            rest[0] = parts.get(rest[0], rest[0])
        if first == "ffn":
            rest[0] = {"0": "net.0.proj", "2": "net.2"}[rest[0]]
        out[".".join([names.get(first, first), *rest])] = tensor
    return out


PARAMS = DiTParams(hidden=24, ffn=40, layers=2, heads=2, head_dim=12, text_dim=10, freq_dim=16)


def test_our_block_is_the_wan_block_of_diffusers():
    module = diffusers_transformer()
    torch.manual_seed(0)
    ours = Block(PARAMS).requires_grad_(False)
    theirs = module.WanTransformerBlock(24, 40, 2, cross_attn_norm=True, eps=1e-6)
    theirs.load_state_dict(loaded_from_block(ours), strict=True)
    x, six, text = torch.randn(2, 12, 24), torch.randn(2, 12, 6, 24), torch.randn(2, 4, 24)
    rotation = video_rotation(torch.arange(2), 2, 3, 12)
    both = [part.repeat_interleave(2, dim=1)[None, :, None] for part in rotation]

    got = ours(x, FlowTime(six[:, :, 0], six), rotation, text)
    assert_close(got, theirs(x, text, six, both), **EXACT)


def test_our_video_expert_is_the_wan_transformer_of_diffusers():
    """Patches, text, sinusoid, places, blocks and head, with one flow time for each token."""
    module = diffusers_transformer()
    torch.manual_seed(1)
    latent = LatentParams("wan_vae", 4, 3, 4, 6, (1, 2, 2), 64, 96)
    ours = VideoExpert(PARAMS, latent).requires_grad_(False)
    theirs = module.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=10,
        freq_dim=16,
        ffn_dim=40,
        num_layers=2,
        cross_attn_norm=True,
        rope_max_seq_len=32,
    ).requires_grad_(False)
    state = {f"blocks.{i}.{n}": t for i, b in enumerate(ours.blocks) for n, t in loaded_from_block(b).items()}
    roots = {
        "patch_embedding": "patch_embedding",
        "text_embedding.0": "condition_embedder.text_embedder.linear_1",
        "text_embedding.2": "condition_embedder.text_embedder.linear_2",
        "time_embedding.0": "condition_embedder.time_embedder.linear_1",
        "time_embedding.2": "condition_embedder.time_embedder.linear_2",
        "time_projection.1": "condition_embedder.time_proj",
        "head.head": "proj_out",
    }
    own = ours.state_dict()
    state |= {f"{b}.{part}": own[f"{a}.{part}"] for a, b in roots.items() for part in ("weight", "bias")}
    theirs.load_state_dict(state | {"scale_shift_table": own["head.modulation"]}, strict=True)

    clip, text, t = torch.randn(2, 4, 3, 4, 6), torch.randn(2, 5, 10), torch.rand(2, 18) * 1000
    time, context, rotation = ours.time(t), ours.text(text), ours.rotation(0, 3)
    x = ours._embed(clip)
    for block in ours.blocks:
        x = block(x, time, rotation, context)
    expected = theirs(clip, t, text, return_dict=False)[0]
    assert_close(ours.unembed(x, time.vector), expected, rtol=0, atol=2e-5)


def test_places_turn_as_released():
    """128 dimensions are 44 for time and 42 for row and column; a chunk's rows use all 128 for one axis."""
    cos, sin = video_rotation(torch.arange(3), 12, 10, 128)
    assert cos.shape == (360, 64)
    token = 2 * 120 + 7 * 10 + 4  # frame 2, row 7, column 4
    frequency = 10000.0 ** (-torch.arange(0, 44, 2, dtype=torch.float64) / 44)
    assert_close(cos[token, :22].double(), (2 * frequency).cos(), rtol=0, atol=1e-7)
    side = 10000.0 ** (-torch.arange(0, 42, 2, dtype=torch.float64) / 42)
    assert_close(sin[token, 22:43].double(), (7 * side).sin(), rtol=0, atol=1e-7)
    assert_close(sin[token, 43:].double(), (4 * side).sin(), rtol=0, atol=1e-7)
    rows, _ = row_rotation(torch.arange(32), 128)
    one = 10000.0 ** (-torch.arange(0, 128, 2, dtype=torch.float64) / 128)
    assert_close(rows[31].double(), (31 * one).cos(), rtol=0, atol=1e-7)


def test_batches_are_their_samples():
    params = micro("main")
    model = micro_model("main")
    seen, given = observed(params), noisy(params)
    one = [type(part)(*(x[1:] if x is not None else None for x in part)) for part in (seen, given)]
    assert BATCH == 2
    assert_close(model.predict(*one).actions, model.predict(seen, given).actions[1:], **ROUNDING)
