# SPDX-License-Identifier: Apache-2.0
"""Operations and bytes of the full X-WAM agree with an independent count within 3 %."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.xwam_support import micro_model, noisy, observed
from wam_ros.models.xwam.cost import decode_stage, encode_stage, plan_stages, step_stage
from wam_ros.models.xwam.params import FULL
from wam_ros.models.xwam.sampling import Plan

# Three views of 256x320: 761 tokens, 512 of text; TFLOP and GB in bfloat16.
STEPS = [
    ({"hoisted": False}, 7.57 + 0.10, 10.1),
    ({"hoisted": False, "depth": True}, 10.0 + 0.10, 13.4),
    ({"hoisted": True}, 6.97, 9.1),
]
PLANS = [
    (Plan("policy", 10, 50), False, 76.7),
    (Plan("policy", 8, 50), False, 61.4),
    (Plan("policy", 10, 50), True, 69.7),
    (Plan("joint", 10, 50, "always"), False, 506.0),
    (Plan("joint", 10, 50), False, 386.0),
]


@pytest.mark.parametrize(("kind", "tflop", "gb"), STEPS)
def test_a_step_of_the_full_model(kind, tflop, gb):
    stage = step_stage(FULL, **kind)
    assert stage.flops / 1e12 == pytest.approx(tflop, rel=0.03)
    assert stage.bytes / 1e9 == pytest.approx(gb, rel=0.03)


@pytest.mark.parametrize(("plan", "hoisted", "tflop"), PLANS)
def test_all_steps_of_a_plan(plan, hoisted, tflop):
    steps = plan_stages(FULL, plan, hoisted=hoisted)[1:]
    assert sum(s.calls for s in steps) == plan.calls
    assert sum(s.flops * s.calls for s in steps) / 1e12 == pytest.approx(tflop, rel=0.03)


def test_pictures_in_and_out():
    assert encode_stage(FULL, one_frame=False).flops / 1e12 == pytest.approx(8.0, rel=0.03)
    assert decode_stage(FULL).flops / 1e12 == pytest.approx(41.8, rel=0.03)
    assert decode_stage(FULL, depth=True).flops / 1e12 == pytest.approx(83.5, rel=0.03)


def test_actions_come_in_less_than_a_third_of_the_whole_and_depth_does_not_delay_them():
    whole, policy = (plan_stages(FULL, Plan(mode, 10, 50), hoisted=True) for mode in ("joint", "policy"))
    assert sum(s.flops * s.calls for s in policy) <= 0.3 * sum(s.flops * s.calls for s in whole)
    assert [s.name for s in policy] == ["pictures", "step"]


@pytest.mark.parametrize("depth", [False, True])
def test_the_count_is_what_torch_counts(depth):
    """A small model's matrix products; the framework counts no attention on a CPU."""
    model = micro_model()
    p = model.sizes
    inputs = observed(p, batch=1), noisy(p, batch=1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.predict(*inputs, depth=depth)
    n, v, text, inner = p.tokens, p.video_tokens, p.text_length, p.dit.inner
    attention = 4 * inner * (p.dit.layers * n * (n + text) + depth * p.depth_layers * v * (v + n + text))
    # What was observed is embedded and never predicted.
    head = 2 * p.tokens_per_frame * p.dit.hidden * p.latent.values_per_token
    state = 2 * (p.dit.hidden + p.proprio_dim) * p.dit.hidden
    # The released code embeds the flow time of every token; there are three different ones.
    times = 2 * (n - 3) * (p.dit.freq_dim + 7 * p.dit.hidden) * p.dit.hidden
    of_released = step_stage(p, hoisted=False, depth=depth).flops
    assert counter.get_total_flops() == of_released - attention - head - state - times
