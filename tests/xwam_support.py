# SPDX-License-Identifier: Apache-2.0
"""Very small X-WAMs with lively random weights, and inputs for them."""

from __future__ import annotations

import dataclasses

import torch

from wam_ros.models.measure import lively
from wam_ros.models.params import DiTParams, LatentParams
from wam_ros.models.xwam.model import Noisy, Observed, XWam, build
from wam_ros.models.xwam.params import XWamParams

BATCH = 2


def micro(*, stem: bool = False, **changes) -> XWamParams:
    """A model of a few thousand parameters: 3 layers, two of them with a twin, two views of 2x3 tokens."""
    latent = (
        LatentParams("pixels", 192, 3, 2, 3, (1, 1, 1), 32, 48, stem=(4, 4, 4))
        if stem
        else LatentParams("wan_vae", 4, 3, 4, 6, (1, 2, 2), 64, 96)
    )
    params = XWamParams(
        dit=DiTParams(hidden=24, ffn=32, layers=3, heads=2, head_dim=12, text_dim=10, freq_dim=16),
        latent=latent,
        views=2,
        depth_layers=2,
        action_steps=3,
        video_steps=6,
        text_length=4,
        horizon=4,
        states=3,
        action_dim=3,
        proprio_dim=5,
        crop=1.0,
    )
    return dataclasses.replace(params, **changes)


def micro_model(*, seed: int = 0, **changes) -> XWam:
    torch.set_num_threads(1)
    model = build(micro(**changes)).eval().requires_grad_(False)
    lively(model, seed)
    return model


def observed(params: XWamParams, batch: int = BATCH, seed: int = 1) -> Observed:
    g, (c, _, v, h, w) = torch.Generator().manual_seed(seed), params.video_shape
    size = params.latent.picture_height, params.latent.picture_width
    return Observed(
        torch.randn(batch, c, 1, v, h, w, generator=g),
        torch.rand(batch, v, 3, *size, generator=g) * 2 - 1,
        torch.randn(batch, params.text_length, params.dit.text_dim, generator=g),
        torch.randn(batch, params.proprio_dim, generator=g),
    )


def noisy(params: XWamParams, batch: int = BATCH, seed: int = 2) -> Noisy:
    """Video, rows and states at different flow times."""
    g, (c, t, *rest) = torch.Generator().manual_seed(seed), params.video_shape
    return Noisy(
        torch.randn(batch, c, t - 1, *rest, generator=g),
        600 + 400 * torch.rand(batch, generator=g),
        torch.randn(batch, params.horizon, params.action_dim, generator=g),
        500 * torch.rand(batch, generator=g),
        torch.randn(batch, params.states - 1, params.proprio_dim, generator=g),
    )
