# SPDX-License-Identifier: Apache-2.0
"""Operations and bytes of an X-WAM chunk and of its imagined future, stage by stage; see ``models/cost.py``."""

from __future__ import annotations

from collections.abc import Iterable

from wam_ros.models.cost import Stage
from wam_ros.models.vae_cost import Convolutions, decoder_convolutions, encoder_convolutions
from wam_ros.models.xwam.params import XWamParams
from wam_ros.models.xwam.sampling import Plan


def plan_stages(params: XWamParams, plan: Plan, *, hoisted: bool, weight_bytes: int = 2) -> tuple[Stage, ...]:
    """Return the stages of a plan without the text encoder and without decoding.

    Args:
        hoisted: with all exact shortcuts; otherwise as the released code works.
        weight_bytes: of one weight or cached value.
    """
    deep = {"never": 0, "last": 1, "always": plan.calls}[plan.depth if plan.mode != "policy" else "never"]
    stages = [encode_stage(params, one_frame=hoisted, weight_bytes=weight_bytes)]
    if plan.calls > deep:
        stages.append(step_stage(params, hoisted=hoisted, weight_bytes=weight_bytes, calls=plan.calls - deep))
    if deep:
        stages.append(step_stage(params, depth=True, hoisted=hoisted, weight_bytes=weight_bytes, calls=deep))
    return tuple(stages)


def step_stage(
    params: XWamParams, *, hoisted: bool, depth: bool = False, weight_bytes: int = 2, calls: int = 1
) -> Stage:
    """Count one call of the network.

    Args:
        hoisted: the text's keys and values are kept, and three flow times are embedded instead of one a token.
        depth: with the depth branch.
    """
    p, n, v = params.dit, params.tokens, params.video_tokens
    d, text, m = p.hidden, params.text_length, params.depth_layers if depth else 0
    block = 4 * d * p.inner + 2 * d * p.inner + 2 * d * p.ffn
    per_token = p.layers * n * block + m * v * block
    attention = 2 * p.inner * (p.layers * n * (n + text) + m * v * (v + n + text))
    ends = params.latent.values_per_token * d * (2 + bool(m))
    mlps = 2 * (params.horizon * (params.action_dim + d) + params.states * (params.proprio_dim + d)) * d
    flow = p.freq_dim * d + 7 * d * d
    of_text = (p.layers + m) * 2 * d * p.inner
    products = per_token + attention + v * ends + mlps + (3 if hoisted else n) * flow
    weights = (p.layers + m) * block + ends + flow + 2 * d * (2 * d + params.action_dim + params.proprio_dim)
    kept = 0
    if hoisted:
        kept = (p.layers + m) * 2 * p.inner * text
    else:
        of_text += p.text_dim * d + d * d
        weights += of_text
        products += text * of_text
    name = "step with depth" if depth else "step"
    return Stage(name, 2.0 * products, float(weights + kept) * weight_bytes, calls)


def encode_stage(params: XWamParams, *, one_frame: bool, weight_bytes: int = 2) -> Stage:
    """Count the encoding of the observed views: one frame each, or a clip that repeats it."""
    latent, pixels = params.latent, params.latent.picture_height * params.latent.picture_width
    if latent.codec == "pixels":
        shapes: Convolutions = []
        for a, b in zip((3, *latent.stem), (*latent.stem, params.dit.hidden), strict=True):
            pixels //= 4
            shapes.append((pixels, 9 * a * b))
    else:
        shapes = encoder_convolutions(pixels, frames=1 if one_frame else 4 * latent.frames - 3, causal=not one_frame)
    return _stage("pictures", params.views, shapes, weight_bytes)


def decode_stage(params: XWamParams, *, depth: bool = False, weight_bytes: int = 2) -> Stage:
    """Count the decoding of the imagined clips by the VAE, of RGB, or of RGB and depth."""
    pixels = params.latent.picture_height * params.latent.picture_width
    shapes = decoder_convolutions(pixels, latent_frames=params.latent.frames)
    return _stage("decoding", params.views * (1 + depth), shapes, weight_bytes)


def _stage(name: str, views: int, shapes: Iterable[tuple[int, int]], weight_bytes: int) -> Stage:
    flops = sum(2.0 * positions * weights for positions, weights in shapes)
    return Stage(name, views * flops, weight_bytes * float(sum(weights for _, weights in shapes)))
