# SPDX-License-Identifier: Apache-2.0
"""Very small models with lively random weights, and inputs for them."""

from __future__ import annotations

import dataclasses

import torch

from wam_ros.models.fastwam import FastWam, Noisy, Observed, build
from wam_ros.models.measure import lively
from wam_ros.models.params import DiTParams, FastWamParams, LatentParams, Variant

VARIANTS: tuple[Variant, ...] = ("main", "joint", "idm", "no_co_train", "optional_idm")
BATCH = 2


def micro(variant: Variant = "main", *, stem: bool = True, **changes) -> FastWamParams:
    """A model of a few thousand parameters: 2 layers, 2x3 tokens a frame, two later frames, five rows."""
    sizes = {"layers": 2, "heads": 2, "head_dim": 12, "text_dim": 10, "freq_dim": 16}
    latent = (
        LatentParams("pixels", 192, 3, 2, 3, (1, 1, 1), 32, 48, stem=(4, 4, 4))
        if stem
        else LatentParams("wan_vae", 4, 3, 4, 6, (1, 2, 2), 64, 96)
    )
    params = FastWamParams(
        video=DiTParams(hidden=24, ffn=32, **sizes),
        action=DiTParams(hidden=16, ffn=20, **sizes),
        latent=latent,
        variant=variant,
        steps=3,
        text_length=4,
        horizon=5,
        action_dim=3,
        proprio_dim=6,
    )
    return dataclasses.replace(params, **changes)


def micro_model(variant: Variant = "main", *, seed: int = 0, **changes) -> FastWam:
    torch.set_num_threads(1)
    model = build(micro(variant, **changes)).eval().requires_grad_(False)
    lively(model, seed)
    return model


def observed(params: FastWamParams, batch: int = BATCH, seed: int = 1) -> Observed:
    g, latent = torch.Generator().manual_seed(seed), params.latent
    return Observed(
        torch.randn(batch, latent.channels, 1, latent.height, latent.width, generator=g),
        torch.rand(batch, 3, latent.picture_height, latent.picture_width, generator=g) * 2 - 1,
        torch.randn(batch, params.text_length, params.video.text_dim, generator=g),
        torch.randn(batch, params.proprio_dim, generator=g),
    )


def noisy(params: FastWamParams, batch: int = BATCH, seed: int = 2) -> Noisy:
    """Noisy frames and rows at different flow times; with a copy to be read where the variant needs one."""
    g, latent = torch.Generator().manual_seed(seed), params.latent
    frames = (batch, latent.channels, latent.frames - 1, latent.height, latent.width)

    def times() -> torch.Tensor:
        return torch.rand(batch, generator=g) * 1000

    reads = params.variant in {"idm", "optional_idm"}
    return Noisy(
        torch.randn(frames, generator=g),
        times(),
        torch.randn(batch, params.horizon, params.action_dim, generator=g),
        times(),
        torch.randn(frames, generator=g) if reads else None,
        times() if reads else None,
        torch.tensor([True, False] * (batch // 2)) if params.variant == "optional_idm" else None,
    )
