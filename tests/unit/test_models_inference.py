# SPDX-License-Identifier: Apache-2.0
"""Every shortcut alone and all together give the chunk of the plain sampler, for every procedure."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from tests.models_support import micro_model, noisy, observed
from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.models.attention import attend
from wam_ros.models.block import Block, Modulation
from wam_ros.models.fastwam import build
from wam_ros.models.guidance import PrefixGuide
from wam_ros.models.inference import Engine, Shortcuts, fused
from wam_ros.models.inference.fused import Matrix, linear, quantised
from wam_ros.models.inference.graphs import Replay
from wam_ros.models.latent import PixelCodec, to_picture
from wam_ros.models.masks import procedure
from wam_ros.models.measure import lively
from wam_ros.models.params import DiTParams, sized
from wam_ros.models.rope import row_rotation
from wam_ros.models.sampling import Prefix, noise_for, sample
from wam_ros.models.schedule import euler_step, flow_schedule
from wam_ros.models.text import hashed_text

EXACT = {"rtol": 0.0, "atol": 1e-5}
SWITCHES = [f.name for f in dataclasses.fields(Shortcuts) if f.name not in {"compiled", "graphs", "fp8"}]
CHOICES = {
    "none": Shortcuts.none(),
    **{name: dataclasses.replace(Shortcuts.none(), **{name: True}) for name in SWITCHES},
    **{f"all but {name}": dataclasses.replace(Shortcuts(), **{name: False}) for name in SWITCHES},
    "all": Shortcuts(),
}
KINDS = [("main", "idm"), ("no_co_train", "idm"), ("joint", "idm"), ("idm", "idm")]
KINDS += [("optional_idm", "idm"), ("optional_idm", "first_frame")]


def engine_for(model, seen, **options) -> Engine:
    engine = Engine(model, lambda _picture: seen.latent, batch=len(seen.latent), **options)
    engine.ask(seen.text)
    return engine


@pytest.mark.parametrize(("variant", "mode"), KINDS)
@pytest.mark.parametrize("target", ["velocity", "x0"])
def test_every_shortcut_alone_and_all_together_give_the_plain_chunk(variant, mode, target):
    model = micro_model(variant, target=target)
    kind, seen, noise = procedure(variant, mode), observed(model.params), noise_for(model, 3, batch=2)
    expected = sample(model, seen, noise, kind)
    for name, shortcuts in CHOICES.items():
        engine = engine_for(model, seen, shortcuts=shortcuts, procedure=kind)
        got = engine.act(seen.picture, seen.proprio, noise)
        assert_close(got.actions, expected.actions, **EXACT, msg=lambda m, name=name: f"{name}: {m}")
        if kind != "main":
            assert_close(got.future, expected.future, **EXACT, msg=lambda m, name=name: f"{name}: {m}")
    assert expected.actions.std() > 0.1


@pytest.mark.parametrize("variant", ["main", "joint", "idm"])
def test_the_plain_sampler_is_euler_over_the_masked_sequence(variant):
    """The definition, step by step, with nothing kept from step to step."""
    model = micro_model(variant)
    p, seen, (rows, frames) = model.params, observed(model.params), noise_for(model, 3, batch=2)
    plan, given = flow_schedule(p.steps, 5.0), noisy(p)
    expected = sample(model, seen, (rows, frames))

    def whole(t_frames: float, t_rows: float):
        at = [torch.full((2,), t) for t in (t_frames, t_rows)]
        return model.masked(
            seen,
            given._replace(
                future=frames, future_time=at[0], actions=rows, action_time=at[1], seen=frames, seen_time=at[0]
            ),
        )

    if variant == "idm":
        for i, t in enumerate(plan.times):
            frames = euler_step(frames, whole(t, 0.0).future, plan, i, "velocity")
    for i, t in enumerate(plan.times):
        out = whole(t if variant == "joint" else 0.0, t)
        rows = euler_step(rows, out.actions, plan, i, "velocity")
        if variant == "joint":
            frames = euler_step(frames, out.future, plan, i, "velocity")
    assert_close(expected.actions, rows, **EXACT)


@pytest.mark.parametrize("variant", ["main", "joint", "idm"])
def test_bfloat16_weights_give_nearly_the_float32_chunk_with_any_shortcuts(variant):
    model = micro_model(variant)
    seen, noise = observed(model.params), noise_for(model, 3, batch=2)
    model.bfloat16()
    rounded = micro_model(variant)
    rounded.load_state_dict({name: tensor.float() for name, tensor in model.state_dict().items()})
    expected = sample(rounded, seen, noise).actions
    for name, shortcuts in CHOICES.items():
        got = engine_for(model, seen, shortcuts=shortcuts).act(seen.picture, seen.proprio, noise).actions
        assert got.dtype == torch.float32
        error = (got - expected).norm() / expected.norm()
        assert error < 0.02, f"{name}: {error}"


def test_an_engine_serves_one_chunk_after_another_and_new_instructions():
    model = micro_model("joint")
    noise = noise_for(model, 0, batch=2)
    codec = PixelCodec(model.params.latent)
    engine = Engine(model, codec.encode, batch=2)
    engine.warm_up()
    for seed in (1, 2, 3):
        seen = observed(model.params, seed=seed)
        seen = seen._replace(latent=codec.encode(seen.picture))
        engine.ask(seen.text)
        got = engine.act(seen.picture, seen.proprio, noise)
        assert_close(got.actions, sample(model, seen, noise).actions, **EXACT)


def test_chunks_are_not_overwritten_by_later_ones():
    model = micro_model("main")
    seen, noise = observed(model.params), noise_for(model, 0, batch=2)
    engine = engine_for(model, seen)
    first = engine.act(seen.picture, seen.proprio, noise).actions
    kept = first.clone()
    engine.act(seen.picture, seen.proprio + 1, noise)
    assert torch.equal(first, kept)


def test_the_model_still_works_and_saves_after_its_weights_were_fused(tmp_path):
    from safetensors.torch import load_file, save_file

    model = micro_model("main")
    seen, given = observed(model.params), noisy(model.params)
    before, names = model.predict(seen, given), {n: t.clone() for n, t in model.state_dict().items()}
    engine_for(model, seen)
    assert_close(model.predict(seen, given).actions, before.actions, **EXACT)
    save_file(model.state_dict(), str(tmp_path / "w.safetensors"))
    stored = load_file(str(tmp_path / "w.safetensors"))
    assert all(torch.equal(stored[name], tensor) for name, tensor in names.items())


@pytest.mark.parametrize("shortcuts", [Shortcuts.none(), Shortcuts()], ids=["none", "all"])
@pytest.mark.parametrize("variant", ["main", "joint"])
def test_given_rows_stand_at_flow_time_zero_and_come_back_unchanged(variant, shortcuts):
    model = micro_model(variant)
    seen, noise = observed(model.params), noise_for(model, 0, batch=2)
    clean = torch.zeros(2, 5, dtype=torch.bool)
    clean[0, :2] = clean[1, :3] = True
    prefix = Prefix(torch.randn(2, 5, 3), clean)
    expected = sample(model, seen, noise, prefix=prefix).actions
    assert torch.equal(expected[clean], prefix.rows[clean])
    assert not torch.allclose(expected, sample(model, seen, noise).actions)
    engine = engine_for(model, seen, shortcuts=shortcuts, with_prefix=True)
    assert_close(engine.act(seen.picture, seen.proprio, noise, prefix).actions, expected, **EXACT)
    without = engine.act(seen.picture, seen.proprio, noise).actions
    assert_close(without, sample(model, seen, noise).actions, **EXACT)


@pytest.mark.parametrize("shortcuts", [Shortcuts.none(), Shortcuts()], ids=["none", "all"])
def test_inpainting_brings_frozen_rows_to_their_values_and_leaves_free_ones_to_the_model(shortcuts):
    model = micro_model("main")
    seen, noise = observed(model.params), noise_for(model, 0, batch=2)
    guide = PrefixGuide((2, 5, 3))
    engine = engine_for(model, seen, shortcuts=shortcuts, guide=guide)
    free = engine.act(seen.picture, seen.proprio, noise).actions
    assert_close(free, sample(model, seen, noise).actions, **EXACT)
    rows = torch.randn(2, 5, 3)
    guide.commit(rows, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]))
    got = engine.act(seen.picture, seen.proprio, noise).actions
    assert_close(got, sample(model, seen, noise, guide=guide).actions, **EXACT)
    assert_close(got[:, :2], rows[:, :2], **EXACT)
    assert (got[:, 2] - rows[:, 2]).abs().mean() < (free[:, 2] - rows[:, 2]).abs().mean()
    guide.release()
    assert_close(engine.act(seen.picture, seen.proprio, noise).actions, free, **EXACT)


def test_guidance_with_an_identity_jacobian_pulls_rows_to_the_committed_ones():
    model = micro_model("main", steps=10)
    seen, noise = observed(model.params), noise_for(model, 0, batch=2)
    rows, weight = torch.randn(2, 5, 3), torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    guide = PrefixGuide((2, 5, 3), largest=5.0)
    guide.commit(rows, weight)
    free, got = sample(model, seen, noise).actions, sample(model, seen, noise, guide=guide).actions
    assert (got[:, :2] - rows[:, :2]).abs().mean() < 0.2 * (free[:, :2] - rows[:, :2]).abs().mean()


def test_misuse_is_refused_with_the_remedy():
    model = micro_model("main")
    seen, noise = observed(model.params), noise_for(model, 0, batch=2)
    engine = Engine(model, lambda _p: seen.latent, batch=2)
    with pytest.raises(ConfigError, match="ask"):
        engine.act(seen.picture, seen.proprio, noise)
    with pytest.raises(ShapeError, match="text"):
        engine.ask(seen.text[:, :3])
    engine.ask(seen.text)
    with pytest.raises(ShapeError, match="state"):
        engine.act(seen.picture, seen.proprio[:, :1], noise)
    with pytest.raises(ShapeError, match="picture"):
        engine.act(seen.picture[0], seen.proprio, noise)
    with pytest.raises(ConfigError, match="with_prefix"):
        engine.act(seen.picture, seen.proprio, noise, Prefix(noise[0], torch.zeros(2, 5, dtype=torch.bool)))


@pytest.mark.parametrize(
    ("switches", "named"),
    [
        ({"graphs": True}, "CUDA"),
        ({"fp8": True}, "CUDA"),
        ({"compiled": True, "fused_blocks": False}, "fused_blocks"),
        ({"graphs": True, "static_memory": False}, "static_memory"),
    ],
)
def test_shortcuts_that_cannot_work_here_are_named(switches, named):
    model = micro_model("main")
    with pytest.raises(ConfigError, match=named):
        Engine(model, lambda p: p, shortcuts=dataclasses.replace(Shortcuts(), **switches))


def test_the_default_on_a_cpu_is_every_exact_shortcut():
    assert Shortcuts.for_device("cpu") == Shortcuts()


def test_eight_bit_matrices_stay_within_their_rounding():
    torch.manual_seed(0)
    x, exact = torch.randn(3, 16, 64).bfloat16(), Matrix(torch.randn(48, 64).bfloat16(), torch.randn(48).bfloat16())
    expected, got = linear(x, exact).float(), linear(x, quantised(exact)).float()
    # e4m3 has three bits of fraction: 1/16 at most for one product, much less for the sum of 64.
    assert (got - expected).norm() / expected.norm() < 0.05


def test_fused_layers_can_be_compiled_whole():
    """Traced without a break; with exact matrices and with 8-bit ones."""
    p = DiTParams(hidden=32, ffn=48, layers=1, heads=2, head_dim=16, text_dim=8, freq_dim=16)
    block = Block(p).bfloat16().requires_grad_(False)
    lively(block)
    x, modulation = torch.randn(1, 16, 32), Modulation(*(torch.randn(32) for _ in range(6)))
    rotation = row_rotation(torch.arange(16), 16)
    text = (torch.randn(1, 3, 2, 16).bfloat16(), torch.randn(1, 3, 2, 16).bfloat16())
    project, finish = (torch.compile(f, backend="eager", fullgraph=True) for f in (fused.project, fused.finish))
    for fp8 in (False, True):
        layer = fused.fuse(block, fp8=fp8)
        queries, keys, values = project(layer, x, modulation, rotation, 2, 1e-6)
        expected = fused.project(layer, x, modulation, rotation, 2, 1e-6)
        assert_close((queries, keys, values), expected)
        attended = attend(queries, keys, values)
        got = finish(layer, x, attended, modulation, text, 2, 1e-6)
        assert_close(got, fused.finish(layer, x, attended, modulation, text, 2, 1e-6))


def test_a_mosaic_becomes_a_chunk():
    """The embedded model as a policy uses it: a large mosaic, a state and a sentence in, rows out."""
    torch.set_num_threads(1)
    params = sized("tiny")
    model, codec = build(params).eval().requires_grad_(False), PixelCodec(params.latent)
    lively(model)
    engine = Engine(model, codec.encode)
    engine.ask(hashed_text("fold the towel", params.text_length, params.video.text_dim))
    engine.warm_up()
    mosaic = torch.randint(0, 256, (1, 384, 320, 3), dtype=torch.uint8)
    picture = to_picture(mosaic, params.latent.picture_height, params.latent.picture_width)
    noise = noise_for(model, 0)
    chunk = engine.act(picture, torch.zeros(1, 14), noise).actions
    assert chunk.shape == (1, 16, 14)
    assert chunk.isfinite().all()
    assert torch.equal(chunk, engine.act(picture, torch.zeros(1, 14), noise).actions)
    assert not torch.equal(chunk, engine.act(picture.flip(3), torch.zeros(1, 14), noise).actions)
    engine.ask(hashed_text("open the box", params.text_length, params.video.text_dim))
    assert not torch.equal(chunk, engine.act(picture, torch.zeros(1, 14), noise).actions)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("variant", ["main", "joint", "idm"])
def test_graphs_replay_the_chunk(variant):
    model = micro_model(variant).cuda()
    seen = type(observed(model.params))(*(x.cuda() for x in observed(model.params)))
    noise = tuple(x.cuda() for x in noise_for(model, 0, batch=2))
    expected = sample(model, seen, noise).actions
    for compiled in (False, True):
        engine = engine_for(model, seen, shortcuts=Shortcuts(graphs=True, compiled=compiled))
        for _ in range(2):
            got = engine.act(seen.picture, seen.proprio, noise).actions
            assert_close(got, expected, rtol=0, atol=1e-4)
        assert isinstance(engine._decide, Replay)
