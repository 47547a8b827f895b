# SPDX-License-Identifier: Apache-2.0
"""The schedule, the loss weight and the Euler step are the released ones."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from wam_ros.models.schedule import (
    chunk_noise,
    euler_step,
    flow_schedule,
    loss_weight,
    noised,
    regression_target,
    shifted,
)

LISTED = [1, 0.97826, 0.95238, 0.92105, 0.88235, 0.83333, 0.76923, 0.68182, 0.55556, 0.35714, 0]


def test_ten_steps_at_shift_5_have_the_listed_sigmas():
    plan = flow_schedule(10, 5.0)
    assert_close(torch.tensor(plan.sigmas), torch.tensor(LISTED), rtol=0, atol=5e-6)
    assert plan.times == tuple(1000 * s for s in plan.sigmas[:-1])
    assert math.isclose(sum(plan.deltas), -1.0)


def test_bfloat16_times_and_steps_are_rounded_as_released():
    plan = flow_schedule(10, 5.0, rounded_to=torch.bfloat16)
    assert plan.times == (1000, 980, 952, 920, 884, 832, 768, 680, 556, 358)
    assert round(sum(plan.deltas), 5) == -0.99976


def test_the_schedule_is_diffusers_euler_with_explicit_sigmas():
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    theirs = schedulers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    theirs.set_timesteps(sigmas=[1 - i / 10 for i in range(10)])
    plan = flow_schedule(10, 5.0)
    assert_close(theirs.sigmas, torch.tensor(plan.sigmas), rtol=0, atol=1e-6)
    x, velocity = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    for step, t in enumerate(theirs.timesteps):
        expected = theirs.step(velocity, t, x, return_dict=False)[0]
        assert_close(euler_step(x, velocity, plan, step, "velocity"), expected, rtol=0, atol=1e-6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 10))
def test_shift_keeps_order_and_ends(a, b, shift):
    assert (shifted(a, shift) <= shifted(b, shift)) or a > b
    assert shifted(0.0, shift) == 0
    assert math.isclose(shifted(1.0, shift), 1)


def test_the_loss_weight_is_the_released_bell():
    sigma = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert_close(loss_weight(sigma, 5.0), torch.tensor([0, 2.0763, 0], dtype=torch.float64), rtol=0, atol=1e-3)
    grid = torch.tensor([shifted(1 - i / 1000, 5.0) for i in range(1000)], dtype=torch.float64)
    assert math.isclose(loss_weight(grid, 5.0).mean(), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize("target", ["velocity", "x0"])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_a_perfect_network_brings_noise_to_the_data(target, shift):
    clean, noise = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    plan, x = flow_schedule(7, shift), noise
    for step in range(plan.steps):
        assert_close(x, noised(clean, noise, torch.tensor(plan.sigmas[step])), rtol=0, atol=1e-5)
        x = euler_step(x, regression_target(target, clean, noise), plan, step, target)
    assert_close(x, clean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", ["velocity", "x0"])
def test_a_guide_that_changes_nothing_changes_nothing(target):
    plan, x, predicted = flow_schedule(4, 5.0), torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    for step in range(4):
        free = euler_step(x, predicted, plan, step, target)
        guided = euler_step(x, predicted, plan, step, target, lambda _step, _x, clean, _sigma: clean)
        assert_close(guided, free, rtol=0, atol=1e-6)


def test_every_chunk_starts_from_the_same_noise():
    torch.manual_seed(5)
    a = chunk_noise((1, 4, 3), 42)
    torch.randn(7)
    assert torch.equal(a, chunk_noise((1, 4, 3), 42))
    assert not torch.equal(a, chunk_noise((1, 4, 3), 43))
