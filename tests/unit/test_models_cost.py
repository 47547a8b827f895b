# SPDX-License-Identifier: Apache-2.0
"""Operations and bytes of the full model agree with an independent count within 3 %."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.models_support import micro_model, noisy, observed
from wam_ros.core.errors import ConfigError
from wam_ros.models.cost import GPUS, chunk_stages, encode_stage, gpu, roofline_ms, text_encoder_stage
from wam_ros.models.params import FULL, TINY

# 384x320: 120 tokens of the first frame, 32 rows, 129 context tokens; TFLOP and GB in bfloat16.
STAGES = [
    ("main", False, "picture", 0.571, 0.30),
    ("main", False, "first frame", 1.221, 10.00),
    ("main", False, "rows", 0.106, 2.04),
    ("main", True, "rows", 0.056, 1.73),
]
STEPS = [("joint", False, 3.50, 12.0), ("joint", True, 2.19, 10.4)]
TOTALS = [
    ("main", False, 2.85, 30.7),
    ("main", True, 2.15, 27.2),
    ("joint", False, 35.6, 121.0),
    ("joint", True, 23.6, 114.0),
    ("idm", False, 39.0, 131.0),
    ("idm", True, 25.8, 123.0),
]


@pytest.mark.parametrize(("kind", "hoisted", "name", "tflop", "gb"), STAGES)
def test_each_stage_of_the_full_model(kind, hoisted, name, tflop, gb):
    stage = next(s for s in chunk_stages(FULL, kind, hoisted=hoisted) if s.name == name)
    assert stage.flops / 1e12 == pytest.approx(tflop, rel=0.03)
    assert stage.bytes / 1e9 == pytest.approx(gb, rel=0.03)


def test_looking_with_all_shortcuts():
    """The last block is cut and the text kept, but the state's token still passes all its weights."""
    look = [s for s in chunk_stages(FULL, "main", hoisted=True) if s.name in {"first frame", "state token, video"}]
    assert sum(s.flops for s in look) / 1e12 == pytest.approx(1.019, rel=0.03)
    assert sum(s.bytes for s in look) / 1e9 == pytest.approx(9.58, rel=0.03)


@pytest.mark.parametrize(("kind", "hoisted", "tflop", "gb"), STEPS)
def test_a_joint_step(kind, hoisted, tflop, gb):
    step = [s for s in chunk_stages(FULL, kind, hoisted=hoisted) if s.calls == 10]
    assert sum(s.flops for s in step) / 1e12 == pytest.approx(tflop, rel=0.03)
    assert sum(s.bytes for s in step) / 1e9 == pytest.approx(gb, rel=0.03)


@pytest.mark.parametrize(("kind", "hoisted", "tflop", "gb"), TOTALS)
def test_a_whole_chunk(kind, hoisted, tflop, gb):
    stages = chunk_stages(FULL, kind, hoisted=hoisted)
    # The table encodes one frame with causal convolutions of depth 3; hoisted, ours are two-dimensional.
    saved = encode_stage(FULL, one_frame=False).flops - stages[0].flops
    assert (sum(s.flops * s.calls for s in stages) + saved) / 1e12 == pytest.approx(tflop, rel=0.03)
    assert sum(s.bytes * s.calls for s in stages) / 1e9 == pytest.approx(gb, rel=0.03)


def test_the_text_encoder():
    stage = text_encoder_stage(128)
    assert stage.flops / 1e12 == pytest.approx(1.19, rel=0.03)
    assert stage.bytes / 1e9 == pytest.approx(9.3, rel=0.03)


def test_the_floor_on_a_named_gpu():
    assert roofline_ms(chunk_stages(FULL, "main", hoisted=False), gpu("NVIDIA H200")) == pytest.approx(6.9, rel=0.03)
    assert roofline_ms(chunk_stages(FULL, "main", hoisted=True), GPUS["H200"]) == pytest.approx(5.9, rel=0.05)
    with pytest.raises(ConfigError, match="GPU"):
        gpu("abacus")


def test_the_vae_count_is_the_one_of_its_convolutions():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    from wam_ros.models.latent import WAN_VAE, flattened

    with torch.device("meta"):
        encoder = diffusers.AutoencoderKLWan(**WAN_VAE).encoder
        frame = torch.zeros(1, 12, 1, 192, 160)
    for module, one_frame in ((encoder, False), (flattened(encoder), True)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(frame)
        assert encode_stage(FULL, one_frame=one_frame).flops == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_the_count_of_a_released_step_is_what_torch_counts():
    """One step of the rows of a small model; the framework counts matrix products, but no attention on a CPU."""
    model = micro_model("main")
    p, given = model.params, noisy(model.params, batch=1)
    stage = chunk_stages(p, "main", hoisted=False)[-1]
    scene = model.look(observed(p, batch=1))
    with FlopCounterMode(display=False) as counter:
        model.act(scene, given.actions, given.action_time)
    text = p.text_length + 1
    embedded_in_look = 2 * text * (p.action.text_dim * p.action.hidden + p.action.hidden**2)
    attention = 4 * p.action.inner * p.horizon * p.action.layers * (p.horizon + p.first_tokens + text)
    assert counter.get_total_flops() == stage.flops - embedded_in_look - attention


def test_the_stem_is_counted():
    model = micro_model("main")
    with FlopCounterMode(display=False) as counter:
        model.video.stem(observed(model.params, batch=1).picture)
    assert encode_stage(model.params, one_frame=True).flops == counter.get_total_flops()


def test_the_tiny_model_costs_a_thousandth():
    flops = [sum(s.flops * s.calls for s in chunk_stages(p, "main", hoisted=True)) for p in (TINY, FULL)]
    assert flops[0] < flops[1] / 1000
