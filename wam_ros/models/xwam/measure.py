# SPDX-License-Identifier: Apache-2.0
"""Time of an X-WAM's actions and of its imagined future beside their floor and their error, on random weights.

The eager reference is the engine with every shortcut off, which repeats the released procedure: all calls with the
depth branch, the text and the flow time of every token anew. Both run in turns, so that they see the same machine.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wam_ros.core.errors import ConfigError
from wam_ros.models.cost import Stage, gpu, roofline_ms
from wam_ros.models.latent import WanCodec
from wam_ros.models.measure import Figures, check_device, cpu_ceiling, lively
from wam_ros.models.xwam.cost import decode_stage, plan_stages
from wam_ros.models.xwam.engine import Engine
from wam_ros.models.xwam.model import XWam, build
from wam_ros.models.xwam.params import XWamParams, sized
from wam_ros.models.xwam.sampling import Mode, Plan, noise_for
from wam_ros.models.xwam.shortcuts import Shortcuts
from wam_ros.models.xwam.views import PixelViews, SharedCodec, ViewsCodec


class Run(NamedTuple):
    """One denoising: when the actions were there and when all was [ms], and what came out."""

    action_ms: float
    whole_ms: float
    outputs: tuple[Tensor, ...]


def measure(
    size: str, device: str, *, repeats: int = 10, threads: int = 1, fp8: bool = False, gpu_name: str = ""
) -> Figures:
    """Return the figures of X-WAM; see :func:`wam_ros.models.measure.measure` for the arguments.

    Raises:
        ConfigError: a device that is not there or too small.
    """
    check_device(size, device)
    if fp8 and device == "cpu":
        raise ConfigError("fp8: 8-bit matrices need a GPU, got cpu; use --device cuda, or leave it off")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return measured(sized(size, target="velocity"), device, repeats, Shortcuts(fp8=fp8), gpu_name)
    finally:
        torch.set_num_threads(before)


def measured(
    params: XWamParams, device: str, repeats: int, shortcuts: Shortcuts | None = None, gpu_name: str = ""
) -> Figures:
    """Return the figures of a model of any size."""
    cuda = device == "cuda"
    model = build(params, device, torch.bfloat16 if cuda else torch.float32).eval().requires_grad_(False)
    lively(model)
    codec = _codec(params, device)
    eager, fast = (_runner(model, codec, s) for s in (Shortcuts.none(), shortcuts or Shortcuts()))
    exact = _runner(copy.deepcopy(model).float(), codec, Shortcuts.none()) if cuda else eager
    pairs = [(exact("joint", seed), fast("joint", seed)) for seed in range(2)]
    del exact
    works: list[tuple[Callable[[Mode, int], Run], Mode]] = [
        (eager, "joint"), (fast, "joint"), (eager, "policy"), (fast, "policy"),
    ]  # fmt: skip
    turns = [[work(mode, 0) for work, mode in works] for _ in range(repeats + 1)][1:]
    ms = np.array([[run.whole_ms for run in turn] for turn in turns])
    to_action = np.array([turn[1].action_ms for turn in turns])
    ceiling = gpu(gpu_name or torch.cuda.get_device_name()) if cuda else cpu_ceiling(model)
    stages = {mode: plan_stages(params, Plan.of(params, mode), hoisted=True, weight_bytes=2 if cuda else 4)
              for mode in ("joint", "policy")}  # fmt: skip
    errors = [(a, b) for left, right in pairs for a, b in zip(left.outputs, right.outputs, strict=True)]
    return {
        "device": ceiling.name,
        "weights": "random, bfloat16" if cuda else "random, float32",
        "params": float(sum(p.numel() for p in model.parameters())),
        "eager_ms": float(np.median(ms[:, 0])),
        "optimised_ms": float(np.median(ms[:, 1])),
        "ratio": float(np.median(ms[:, 1] / ms[:, 0])),
        "p99_ms": float(np.percentile(ms[:, 1], 99)),
        "policy_eager_ms": float(np.median(ms[:, 2])),
        "policy_ms": float(np.median(ms[:, 3])),
        "policy_ratio": float(np.median(ms[:, 3] / ms[:, 2])),
        "time_to_action_ms": float(np.median(to_action)),
        "time_to_action_ratio": float(np.median(to_action / ms[:, 1])),
        "time_to_action_operations": _operations(stages["policy"]) / _operations(stages["joint"]),
        "roofline_ms": roofline_ms(stages["joint"], ceiling),
        "max_error": max(float((a - b).abs().max()) for a, b in errors),
        "relative_error": max(float((a - b).norm() / a.norm()) for a, b in errors),
        "rms_action": float(torch.cat([left.outputs[0] for left, _ in pairs]).square().mean().sqrt()),
        **operations(params),
    }


def operations(params: XWamParams) -> Figures:
    """Return the operations of each stage in one call [TFLOP], as released and with the shortcuts."""
    table: Figures = {}
    joint, policy = Plan.of(params, "joint"), Plan.of(params, "policy")
    always = dataclasses.replace(joint, depth="always")
    for name, hoisted, plan in (("released", False, always), ("ours", True, joint)):
        stages = plan_stages(params, plan, hoisted=hoisted)
        alone = plan_stages(params, policy, hoisted=hoisted)
        table |= {f"tflop_{s.name.replace(' ', '_')}_{name}": s.flops / 1e12 for s in (*alone, *stages)}
        table[f"tflop_joint_{name}"] = _operations(stages) / 1e12
        table[f"tflop_policy_{name}"] = _operations(alone) / 1e12
    if params.latent.codec == "wan_vae":
        table["tflop_decoding"] = decode_stage(params, depth=True).flops / 1e12
    return table


def _operations(stages: tuple[Stage, ...]) -> float:
    return sum(stage.flops * stage.calls for stage in stages)


def _codec(params: XWamParams, device: str) -> ViewsCodec:
    if params.latent.codec == "pixels":
        return PixelViews(params).to(device)
    return SharedCodec(WanCodec.random(device, torch.bfloat16))


def _runner(model: XWam, codec: ViewsCodec, shortcuts: Shortcuts) -> Callable[[Mode, int], Run]:
    """Return a function from a mode and a seed of the observation to a timed run."""
    p, device = model.sizes, model.device
    clip = 1 + (p.latent.frames - 1) * codec.frames_per_latent
    engine, noise = Engine(model, codec.encode_clip, shortcuts, clip), noise_for(p, seed=0)
    noise = type(noise)(*(part.to(device) for part in noise))
    text = torch.randn(1, p.text_length, p.dit.text_dim, generator=torch.Generator().manual_seed(0))
    engine.ask(text.to(device))

    def run(mode: Mode, seed: int) -> Run:
        g = torch.Generator().manual_seed(seed)
        pictures = torch.rand(1, p.views, 3, p.latent.picture_height, p.latent.picture_width, generator=g) * 2 - 1
        state, action_s = torch.randn(1, p.proprio_dim, generator=g), 0.0
        start = time.perf_counter()
        engine.look(pictures.to(device), state.to(device))
        for event in engine.run(noise, Plan.of(p, mode)):
            if event.acted and not action_s:
                event.acted.actions.cpu()
                action_s = time.perf_counter() - start
        outputs = tuple(part.cpu() for part in (*event.acted, *(event.imagined or ())))  # type: ignore[misc, union-attr]
        return Run(1e3 * action_s, 1e3 * (time.perf_counter() - start), outputs)

    return run
