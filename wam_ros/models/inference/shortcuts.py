# SPDX-License-Identifier: Apache-2.0
"""The switches of inference: what need not be done twice."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.util import find_spec
from shutil import which

import torch

from wam_ros.core.errors import ConfigError


@dataclass(frozen=True)
class Shortcuts:
    """Which work is avoided. All exact but ``fp8``; the last two are for CUDA.

    Attributes:
        first_frame_once: keys and values of the first frame once per chunk, also where the future is denoised.
        text_once: keys and values of the text once per prompt; per chunk only the state's token is new.
        modulation_once: modulation from a table over the steps, folded for the clean flow time.
        cut_last_block: where only keys and values are wanted, stop there in the last block.
        no_masks: no mask where all may be seen.
        fused_blocks: fewer and larger operations, see ``fused.py``.
        static_memory: keys and values in buffers made once.
        compiled: blocks through ``torch.compile``; needs ``fused_blocks``.
        graphs: perception and the whole denoising loop as one CUDA graph each; needs ``static_memory``.
        fp8: 8-bit matrices; not exact; needs ``fused_blocks`` and compute capability 8.9.
    """

    first_frame_once: bool = True
    text_once: bool = True
    modulation_once: bool = True
    cut_last_block: bool = True
    no_masks: bool = True
    fused_blocks: bool = True
    static_memory: bool = True
    compiled: bool = False
    graphs: bool = False
    fp8: bool = False

    @classmethod
    def none(cls) -> Shortcuts:
        """Return the released procedure: all work done anew where the released code does it anew."""
        return cls(**{field.name: False for field in fields(cls)})

    @classmethod
    def for_device(cls, device: torch.device | str) -> Shortcuts:
        """Return all exact shortcuts that a device offers, with what is installed."""
        cuda = torch.device(device).type == "cuda"
        return cls(compiled=cuda and _can_compile(), graphs=cuda)

    def check(self, device: torch.device) -> None:
        """Refuse switches that need another switch or another device.

        Raises:
            ConfigError: naming the switch and what it needs.
        """
        needs = {"compiled": "fused_blocks", "fp8": "fused_blocks", "graphs": "static_memory"}
        for switch, needed in needs.items():
            if getattr(self, switch) and not getattr(self, needed):
                raise ConfigError(f"shortcuts: {switch} needs {needed}; switch it on or {switch} off")
        if self.compiled and device.type == "cuda" and not _can_compile():
            raise ConfigError("shortcuts: compiled needs triton and a C compiler; install them or switch compiled off")
        if self.graphs and device.type != "cuda":
            raise ConfigError(f"shortcuts: graphs need a CUDA device, got {device.type}; switch graphs off")
        if self.fp8 and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9)):
            raise ConfigError(
                f"shortcuts: fp8 needs a CUDA device of capability 8.9 or newer, got {device}; switch fp8 off"
            )


def _can_compile() -> bool:
    """Tell whether torch.compile can make GPU kernels here: it needs triton, and triton a C compiler."""
    return find_spec("triton") is not None and any(which(name) for name in ("cc", "gcc", "clang"))
