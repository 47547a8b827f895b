# SPDX-License-Identifier: Apache-2.0
"""Operations and bytes of a chunk, stage by stage, and the floor they put under its time.

A stage cannot be faster than its operations at the peak rate, nor than its bytes at the memory bandwidth.
Batch 1; an operation is a multiplication or an addition; bytes are weights and cached keys and values, read
once. ``released`` counts what the released code does, ``hoisted`` what the shortcuts leave.
"""

from __future__ import annotations

from dataclasses import dataclass

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.masks import Procedure
from wam_ros.models.params import DiTParams, FastWamParams
from wam_ros.models.vae_cost import encoder_convolutions


@dataclass(frozen=True)
class Stage:
    """One stage of a chunk: its operations and bytes in one call, and how often it is called."""

    name: str
    flops: float
    bytes: float
    calls: int = 1


@dataclass(frozen=True)
class Ceiling:
    """What a processor can do at most: operations and bytes per second."""

    name: str
    flops_per_s: float
    bytes_per_s: float

    def floor_ms(self, stage: Stage) -> float:
        """Return the least time of all calls of a stage."""
        return 1e3 * stage.calls * max(stage.flops / self.flops_per_s, stage.bytes / self.bytes_per_s)


# Dense bfloat16 with float32 sums, and memory bandwidth, by the vendors' data sheets.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Ceiling("H200", 990e12, 4.8e12),
        Ceiling("H100", 990e12, 3.35e12),
        Ceiling("RTX 5090", 209.5e12, 1.79e12),
        Ceiling("RTX 4090", 165.2e12, 1.008e12),
    )
}


def gpu(name: str) -> Ceiling:
    """Return the ceiling of a GPU whose name contains a known one, e.g. ``NVIDIA H200``.

    Raises:
        ConfigError: unknown GPU.
    """
    for known, ceiling in GPUS.items():
        if known.lower() in name.lower():
            return ceiling
    raise ConfigError(mismatch("GPU", ", ".join(GPUS), name, "name one of them"))


def roofline_ms(stages: tuple[Stage, ...], ceiling: Ceiling) -> float:
    """Return the floor of a whole chunk."""
    return sum(ceiling.floor_ms(stage) for stage in stages)


def chunk_stages(
    params: FastWamParams, procedure: Procedure, *, hoisted: bool, weight_bytes: int = 2
) -> tuple[Stage, ...]:
    """Return the stages of one chunk without the text encoder.

    Args:
        procedure: of the variant, see ``masks.procedure``.
        hoisted: with all exact shortcuts; otherwise as the released code works.
        weight_bytes: of one weight or cached value.
    """
    count = _Counter(params, hoisted, weight_bytes)
    n, m, steps = params.first_tokens, params.future_tokens, params.steps
    stages = [encode_stage(params, one_frame=hoisted, weight_bytes=weight_bytes)]
    if hoisted:
        stages += [count.state("state token, video", params.video), count.state("state token, action", params.action)]
    if hoisted or procedure == "main":
        stages.append(count.video("first frame", n, 0, cut=True))
    if procedure == "main":
        return (*stages, count.action("rows", n, steps))
    tokens, read = (m, n) if hoisted else (n + m, 0)
    stages.append(count.video("future", tokens, read, calls=steps))
    if procedure == "idm":
        stages.append(count.video("future as read", tokens, read, cut=True))
    return (*stages, count.action("rows", n + m, steps))


class _Counter:
    """Counts passes of the two experts."""

    def __init__(self, params: FastWamParams, hoisted: bool, weight_bytes: int) -> None:
        self._params, self._hoisted, self._weight_bytes = params, hoisted, weight_bytes

    def video(self, name: str, tokens: int, read: int, *, cut: bool = False, calls: int = 1) -> Stage:
        """Count video tokens; with ``cut`` only keys and values of the last block are wanted."""
        p, cut = self._params.video, cut and self._hoisted
        ends = self._params.latent.values_per_token * p.hidden * (1 if cut else 2)
        return self._pass(name, p, (tokens, read, tokens), ends, p.layers - cut, calls)

    def action(self, name: str, read: int, calls: int) -> Stage:
        """Count the rows of a chunk, which share one flow time."""
        p = self._params.action
        ends = 2 * self._params.action_dim * p.hidden
        return self._pass(name, p, (self._params.horizon, read, 1), ends, p.layers, calls)

    def state(self, name: str, p: DiTParams) -> Stage:
        """Count the one context token that is new in a chunk when the text is kept."""
        weights = float(_text_weights(p))
        return Stage(name, 2 * weights, weights * self._weight_bytes)

    def _pass(
        self, name: str, p: DiTParams, tokens: tuple[int, int, int], ends: int, whole_blocks: int, calls: int
    ) -> Stage:
        """Count one pass through an expert.

        Args:
            tokens: their number, how many cached ones they read, and how many flow times they have.
            ends: weights of embedding and head.
            whole_blocks: blocks that are run beyond their keys and values.
        """
        (own, read, times), text, d = tokens, self._params.text_length + 1, p.hidden
        after_keys = p.inner * d + 2 * d * p.inner + 2 * d * p.ffn
        per_token = p.layers * 3 * d * p.inner + whole_blocks * after_keys + ends
        attention = 2 * p.inner * own * whole_blocks * (own + read + text)
        weights, products = float(per_token), float(own * per_token + attention)
        kept = p.layers * 2 * p.inner * read
        if self._hoisted:
            kept += p.layers * 2 * p.inner * text
        else:
            flow = p.freq_dim * d + 7 * d * d
            weights += _text_weights(p) + flow
            products += text * _text_weights(p) + times * flow
        return Stage(name, 2 * products, (weights + kept) * self._weight_bytes, calls)


def _text_weights(p: DiTParams) -> int:
    """Weights that a context token passes: its embedding, and keys and values of every layer."""
    return p.text_dim * p.hidden + p.hidden**2 + p.layers * 2 * p.hidden * p.inner


def encode_stage(params: FastWamParams, *, one_frame: bool, weight_bytes: int = 2) -> Stage:
    """Count the encoding of one picture: the Wan2.2 VAE, or the stem of a codec of pixels.

    Args:
        one_frame: two-dimensional convolutions instead of causal ones of depth 3.
    """
    latent = params.latent
    if latent.codec == "pixels":
        shapes, size = [], latent.picture_height * latent.picture_width
        for a, b in zip((3, *latent.stem), (*latent.stem, params.video.hidden), strict=True):
            size //= 4
            shapes.append((size, 9 * a * b))
    else:
        shapes = encoder_convolutions(latent.picture_height * latent.picture_width, causal=not one_frame)
    flops = sum(2.0 * positions * weights for positions, weights in shapes)
    return Stage("picture", flops, weight_bytes * float(sum(weights for _, weights in shapes)))


def text_encoder_stage(tokens: int = 128, weight_bytes: int = 2) -> Stage:
    """Count UMT5-XXL; never part of a chunk, since prompts are embedded beforehand."""
    layers, d, ffn = 24, 4096, 10240
    weights = layers * (4 * d * d + 3 * d * ffn)
    return Stage("text", 2.0 * tokens * (weights + layers * 2 * tokens * d), weight_bytes * float(weights))
