# SPDX-License-Identifier: Apache-2.0
"""Time of a chunk beside its floor and its error, on random weights.

The eager reference is the engine with every shortcut off, which repeats the released procedure; both are timed
in turns, so that they see the same machine. On a CPU both are float32 and the error is between them. On a GPU
both are timed in bfloat16, and the error is that of the optimised engine against a float32 eager one.
"""

from __future__ import annotations

import copy
import dataclasses
import platform
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.cost import Ceiling, chunk_stages, gpu, roofline_ms
from wam_ros.models.fastwam import FastWam, build
from wam_ros.models.guidance import PrefixGuide
from wam_ros.models.inference import Engine, Shortcuts
from wam_ros.models.latent import Codec, PixelCodec, WanCodec
from wam_ros.models.params import FastWamParams, sized
from wam_ros.models.sampling import noise_for
from wam_ros.models.schedule import Guide

VARIANTS = {"fastwam": "main", "fastwam_joint": "joint", "fastwam_idm": "idm"}
Figures = dict[str, "float | str"]


def lively(module: nn.Module, seed: int = 0) -> None:
    """Draw random weights with which every layer changes the result (zero-initialised outputs would hide faults)."""
    generator = torch.Generator(device=next(module.parameters()).device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("modulation"):
                parameter.normal_(0, 0.3, generator=generator)
            elif parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
            else:
                parameter.normal_(float("norm" in name and "bias" not in name), 0.1, generator=generator)


def measure(
    model: str,
    size: str,
    device: str,
    *,
    repeats: int = 40,
    threads: int = 1,
    fp8: bool = False,
    gpu_name: str = "",
) -> Figures:
    """Return the figures of one model.

    Args:
        model: a key of ``VARIANTS``.
        size: ``tiny`` or ``full``; full needs a GPU.
        device: ``cpu`` or ``cuda``.
        repeats: timed chunks of each kind.
        threads: of the CPU; the policy process is bounded too.
        fp8: 8-bit matrices in the optimised engine.
        gpu_name: whose ceilings to use; the GPU's own name by default.

    Raises:
        ConfigError: unknown model, or a device that is not there or too small.
    """
    if model not in VARIANTS:
        raise ConfigError(mismatch("model", ", ".join(VARIANTS), model, "choose one of them"))
    params = sized(size, variant=VARIANTS[model], target="velocity")
    check_device(size, device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shortcuts = dataclasses.replace(Shortcuts.for_device(device), fp8=fp8)
        return _measured(params, device, shortcuts, repeats, gpu_name)
    finally:
        torch.set_num_threads(before)


def check_device(size: str, device: str) -> None:
    """Refuse a device that is not there, or that is too small.

    Raises:
        ConfigError: with the remedy.
    """
    if device not in {"cpu", "cuda"}:
        raise ConfigError(mismatch("device", "cpu or cuda", device, "choose one of them"))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: expected a CUDA device, got none; use --device cpu, or install CUDA torch")
    if size == "full" and device == "cpu":
        raise ConfigError("size full: 6 billion parameters do not run on a CPU; use --device cuda, or --size tiny")


def _measured(params: FastWamParams, device: str, shortcuts: Shortcuts, repeats: int, gpu_name: str) -> Figures:
    cuda = device == "cuda"
    model = build(params, device, torch.bfloat16 if cuda else torch.float32).eval().requires_grad_(False)
    lively(model)
    codec = _codec(params, device)
    eager, optimised = _chunks(model, codec, Shortcuts.none()), _chunks(model, codec, shortcuts)
    exact = _chunks(copy.deepcopy(model).float(), codec, Shortcuts.none()) if cuda else eager
    seen = [_observation(params, seed) for seed in range(3)]
    pairs = [(exact(*observation), optimised(*observation)) for observation in seen]
    del exact
    guided = _chunks(model, codec, shortcuts, _pulling(params, device))
    works = [lambda: eager(*seen[0]), lambda: optimised(*seen[0]), lambda: guided(*seen[0])]
    eager_ms, optimised_ms, guided_ms = in_turns(works, repeats)
    ceiling = gpu(gpu_name or torch.cuda.get_device_name()) if cuda else cpu_ceiling(model)
    stages = chunk_stages(params, model.procedure, hoisted=True, weight_bytes=2 if cuda else 4)
    return {
        "device": ceiling.name,
        "weights": "random, bfloat16" if cuda else "random, float32",
        "params": float(sum(p.numel() for p in model.parameters())),
        "eager_ms": float(np.median(eager_ms)),
        "optimised_ms": float(np.median(optimised_ms)),
        "ratio": float(np.median(np.array(optimised_ms) / np.array(eager_ms))),
        "p99_ms": float(np.percentile(optimised_ms, 99)),
        "guided_ratio": float(np.median(np.array(guided_ms) / np.array(optimised_ms))),
        "roofline_ms": roofline_ms(stages, ceiling),
        "max_error": max(float((a - b).abs().max()) for a, b in pairs),
        "relative_error": max(float((a - b).norm() / a.norm()) for a, b in pairs),
        "rms_action": float(torch.cat([a for a, _ in pairs]).square().mean().sqrt()),
    }


def _codec(params: FastWamParams, device: str) -> Codec:
    if params.latent.codec == "pixels":
        return PixelCodec(params.latent).to(device)
    return WanCodec.random(device, torch.bfloat16)


def _pulling(params: FastWamParams, device: str) -> PrefixGuide:
    """Return the default guidance of real-time chunking, pulling half of the rows."""
    guide = PrefixGuide((1, params.horizon, params.action_dim), largest=5.0, device=device)
    weight = torch.linspace(1, -1, params.horizon).clamp(min=0)
    guide.commit(torch.zeros(1, params.horizon, params.action_dim, device=device), weight.to(device))
    return guide


def _chunks(
    model: FastWam, codec: Codec, shortcuts: Shortcuts, guide: Guide | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function from a picture and a state to a finished chunk on the CPU."""
    engine, noise = Engine(model, codec.encode, shortcuts=shortcuts, guide=guide), noise_for(model, seed=0)
    p, generator = model.params, torch.Generator().manual_seed(0)
    engine.ask(torch.randn(1, p.text_length, p.video.text_dim, generator=generator))
    return lambda picture, proprio: engine.act(picture, proprio, noise).actions.cpu()


def _observation(params: FastWamParams, seed: int) -> tuple[Tensor, Tensor]:
    """Return a random picture and state on the CPU, where a camera's picture comes from."""
    generator, latent = torch.Generator().manual_seed(seed), params.latent
    picture = torch.rand(1, 3, latent.picture_height, latent.picture_width, generator=generator) * 2 - 1
    return picture, torch.randn(1, params.proprio_dim, generator=generator)


def in_turns(works: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Return the times [ms] of each work, all done in turns after a few calls that are not counted."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 3):
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if turn >= 3:
                found.append(1e3 * (time.perf_counter() - start))
    return times


def cpu_ceiling(model: nn.Module) -> Ceiling:
    """Measure what this CPU can do: a large float32 product, and reading as many bytes as the model has."""
    a = torch.randn(512, 512)
    weights = torch.randn(sum(p.numel() for p in model.parameters()))
    product_ms, read_ms = in_turns([lambda: a @ a, weights.sum], 30)
    return Ceiling(
        platform.processor() or platform.machine(),
        2 * 512**3 / (1e-3 * min(product_ms)),
        4 * len(weights) / (1e-3 * min(read_ms)),
    )
