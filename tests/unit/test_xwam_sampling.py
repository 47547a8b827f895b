# SPDX-License-Identifier: Apache-2.0
"""Denoising at two speeds, its solver, and the engine that does less for the same result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.xwam_support import micro_model, observed
from wam_ros.core.errors import ConfigError
from wam_ros.models.xwam.engine import Engine
from wam_ros.models.xwam.sampling import Plain, Plan, Samples, denoise, noise_for
from wam_ros.models.xwam.shortcuts import Shortcuts
from wam_ros.models.xwam.unipc import Solution, unipc_steps
from wam_ros.models.xwam.views import PixelViews, to_views

SWITCHES = [f.name for f in dataclasses.fields(Shortcuts) if f.name not in {"compiled", "fp8"}]
EXACT = {"rtol": 0.0, "atol": 1e-5}


def released_scheduler(steps: int, shift: float = 5.0):
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: no UniPC to compare with")
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2
    )
    scheduler.set_timesteps(sigmas=np.linspace(0.999, 0, steps + 1)[:-1])
    return scheduler


def test_the_network_is_told_the_released_times():
    assert [int(s.time) for s in unipc_steps(10, 5.0)] == [999, 978, 952, 920, 882, 833, 768, 681, 555, 356]
    # The video has hardly begun when the actions are done after ten of fifty steps.
    assert unipc_steps(50, 5.0)[10].sigma == pytest.approx(0.952, abs=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 10, 50])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_the_solver_is_unipc_of_diffusers_with_explicit_sigmas(steps, shift):
    scheduler = released_scheduler(steps, shift)
    ours = unipc_steps(steps, shift)
    assert [int(t) for t in scheduler.timesteps] == [int(s.time) for s in ours]
    g = torch.Generator().manual_seed(steps)
    x, mix = torch.randn(3, 4, generator=g), 0.3 * torch.randn(4, 4, generator=g)
    solution = Solution(x, ours, "velocity")
    for t in scheduler.timesteps:
        solution.advance(torch.tanh(solution.sample @ mix) + 0.3 * solution.sample)
        x = scheduler.step(torch.tanh(x @ mix) + 0.3 * x, t, x).prev_sample
        assert_close(solution.sample, x, rtol=1e-6, atol=2e-6)
    assert solution.done
    assert solution.time == 0.0


def test_a_clean_prediction_and_its_velocity_are_one_solution():
    noise, steps = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), unipc_steps(6, 5.0)
    by_velocity, by_clean = Solution(noise, steps, "velocity"), Solution(noise, steps, "x0")
    for step in steps:
        clean = torch.tanh(by_clean.sample)
        by_velocity.advance((by_velocity.sample - torch.tanh(by_velocity.sample)) / step.sigma)
        by_clean.advance(clean)
        assert_close(by_velocity.sample, by_clean.sample, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def scene():
    """A model and what it sees, with the latent that its codec makes of the pictures."""
    model = micro_model(stem=True, target="velocity")
    codec = PixelViews(model.sizes)
    seen = observed(model.sizes)
    latent = codec.encode_clip(seen.pictures[:, :, :, None])
    return model, codec, seen._replace(latent=latent), noise_for(model.sizes, 3, batch=2)


def test_actions_of_an_early_stop_are_those_of_the_full_run(scene):
    model, _, seen, noise = scene
    p = model.sizes
    early = list(denoise(Plain(model, seen), p, noise, Plan.of(p, "policy")))
    whole = list(denoise(Plain(model, seen), p, noise, Plan.of(p, "joint")))
    assert [e.calls for e in early] == [1, 2, 3]
    assert [e.acted is not None for e in whole] == [False, False, True, True, True, True]
    assert early[-1].imagined is None
    for event in whole[2:]:
        assert torch.equal(event.acted.actions, early[-1].acted.actions)
        assert torch.equal(event.acted.states, early[-1].acted.states)
    assert whole[-1].imagined.video.shape == noise.video.shape
    assert whole[-1].imagined.depth.shape == (2, *p.video_shape)


class Counting:
    """A network that remembers what it was asked for."""

    def __init__(self, model, seen):
        self.calls, self._network = [], Plain(model, seen)

    def predict(self, samples, video_time, action_time, wanted):
        self.calls.append((video_time, action_time, wanted))
        return self._network.predict(samples, video_time, action_time, wanted)


def test_depth_is_computed_once_and_never_before_the_actions(scene):
    model, _, seen, noise = scene
    network = Counting(model, seen)
    list(denoise(network, model.sizes, noise, Plan.of(model.sizes, "joint")))
    assert [wanted.depth for _, _, wanted in network.calls] == [False] * 5 + [True]
    assert [wanted.rows for _, _, wanted in network.calls] == [True] * 3 + [False] * 3
    assert [t for _, t, _ in network.calls][3:] == [0.0, 0.0, 0.0]
    assert all(video >= action for video, action, _ in network.calls)


def test_who_stops_asking_has_cancelled_the_rest(scene):
    model, _, seen, noise = scene
    network = Counting(model, seen)
    running = denoise(network, model.sizes, noise, Plan.of(model.sizes, "joint"))
    assert next(event for event in running if event.acted)
    running.close()
    assert len(network.calls) == model.sizes.action_steps


def test_imagining_keeps_the_given_plan_and_follows_it(scene):
    model, _, seen, noise = scene
    p = model.sizes
    network, plan = Counting(model, seen), Plan.of(p, "imagine")
    end = list(denoise(network, p, noise, plan))[-1]
    assert torch.equal(end.acted.actions, noise.actions)
    assert {t for _, t, _ in network.calls} == {0.0}
    other = Samples(noise.video, noise.actions + 1, noise.states)
    elsewhere = list(denoise(Plain(model, seen), p, other, plan))[-1]
    assert (elsewhere.imagined.video - end.imagined.video).abs().max() > 1e-2
    assert (elsewhere.imagined.depth - end.imagined.depth).abs().max() > 1e-2


def results(engine: Engine, seen, noise: Samples, mode: str) -> list[torch.Tensor]:
    engine.ask(seen.text)
    engine.look(seen.pictures, seen.state)
    end = list(engine.run(noise, Plan.of(engine.model.sizes, mode)))[-1]
    return [*end.acted, *(end.imagined or ())]


@pytest.mark.parametrize("mode", ["policy", "joint", "imagine"])
@pytest.mark.parametrize(
    "on", [(), *((name,) for name in SWITCHES), tuple(SWITCHES)], ids=lambda on: "+".join(on) or "none"
)
def test_every_shortcut_gives_the_released_result(scene, on, mode):
    model, codec, seen, noise = scene
    reference = list(denoise(Plain(model, seen), model.sizes, noise, Plan.of(model.sizes, mode)))[-1]
    shortcuts = dataclasses.replace(Shortcuts.none(), **dict.fromkeys(on, True))
    got = results(Engine(model, codec.encode_clip, shortcuts, frames=3), seen, noise, mode)
    wanted = [*reference.acted, *(reference.imagined or ())]
    assert len(got) == len(wanted) == (2 if mode == "policy" else 4)
    for a, b in zip(got, wanted, strict=True):
        assert b.abs().max() > 0.1
        assert_close(a, b, **EXACT)


def test_an_engine_may_see_and_hear_something_new(scene):
    model, codec, seen, noise = scene
    engine = Engine(model, codec.encode_clip)
    first = results(engine, seen, noise, "policy")
    for change in ({"text": seen.text + 1}, {"pictures": -seen.pictures}, {"state": seen.state + 1}):
        other = results(engine, seen._replace(**change), noise, "policy")
        assert (other[0] - first[0]).abs().max() > 1e-3
    assert_close(results(engine, seen, noise, "policy"), first)


def test_an_engine_without_an_instruction_says_so(scene):
    model, codec, seen, _ = scene
    with pytest.raises(ConfigError, match="ask"):
        Engine(model, codec.encode_clip).look(seen.pictures, seen.state)


def test_views_are_cropped_about_their_centre():
    p = dataclasses.replace(micro_model(stem=True).sizes, crop=0.5)
    pictures = torch.zeros(1, 2, 32, 48, 3, dtype=torch.uint8)
    pictures[:, 0, 8:24, 12:36] = 255
    pictures[:, 1, :8] = 255
    seen = to_views(pictures, p)
    assert seen.shape == (1, 2, 3, 32, 48)
    assert_close(seen[:, 0], torch.ones(1, 3, 32, 48))
    assert_close(seen[:, 1], -torch.ones(1, 3, 32, 48))


def test_pixel_views_come_back_at_half_resolution():
    p = micro_model(stem=True).sizes
    codec, g = PixelViews(p), torch.Generator().manual_seed(0)
    codec.fit(torch.rand(5, 2, 3, 32, 48, generator=g) * 2 - 1)
    clip = (torch.rand(1, 2, 3, 3, 16, 24, generator=g) * 2 - 1).repeat_interleave(2, 4).repeat_interleave(2, 5)
    latents = codec.encode_clip(clip)
    assert latents.shape == (1, 192, 3, 2, 2, 3)
    assert_close(codec.decode(latents), clip, rtol=0, atol=1e-5)
