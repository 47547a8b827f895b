# SPDX-License-Identifier: Apache-2.0
"""The checkpoint folder of an X-WAM: as that of Fast-WAM, with the codec of depth beside the codec of pictures.

With a VAE both are the same; pixel codecs are stored as ``codec.*`` and ``depth_codec.*``. Loading is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from wam_ros.core.card import Card
from wam_ros.models.checkpoint import PROMPTS, VAE, WEIGHTS, read_tensors
from wam_ros.models.convert import require_exact
from wam_ros.models.latent import WanCodec
from wam_ros.models.text import TextCache, hashed_text
from wam_ros.models.xwam.model import XWam, build
from wam_ros.models.xwam.params import XWamParams, from_card
from wam_ros.models.xwam.views import PixelViews, SharedCodec, ViewsCodec

Device = torch.device | str


class Codecs(NamedTuple):
    """Pictures and depth pictures to latents and back."""

    pictures: ViewsCodec
    depth: ViewsCodec


def load_model(folder: Path, card: Card, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> XWam:
    """Return the model of a checkpoint with its weights.

    Raises:
        ConfigError: damaged weights, or weights that are not those of the card's model.
    """
    params = from_card(card)
    tensors = {name: t for name, t in read_tensors(folder).items() if not _of_codec(name)}
    require_exact(shapes_of(params), tensors)
    model = build_empty(params, dtype)
    model.load_state_dict({name: t.to(device, dtype) for name, t in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def build_empty(params: XWamParams, dtype: torch.dtype = torch.float32) -> XWam:
    """Return a model without memory, for loading and for its names and shapes."""
    return build(params, device="meta", dtype=dtype)


def load_codecs(folder: Path, card: Card, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Codecs:
    """Return the codecs of a checkpoint.

    Raises:
        ConfigError: their tensors or their folder are missing.
    """
    params = from_card(card)
    if params.latent.codec == "wan_vae":
        vae = SharedCodec(WanCodec.load(folder / VAE, device, dtype))
        return Codecs(vae, vae)
    tensors = read_tensors(folder)
    loaded = []
    for root in ("codec.", "depth_codec."):
        codec = PixelViews(params)
        own = {name.removeprefix(root): t.float() for name, t in tensors.items() if name.startswith(root)}
        require_exact({name: tuple(t.shape) for name, t in codec.state_dict().items()}, own)
        codec.load_state_dict(own)
        loaded.append(codec.to(device))
    return Codecs(*loaded)


def embed_prompt(folder: Path, card: Card, instruction: str) -> Tensor:
    """Return the text embedding (1, L, text_dim) of an instruction; what stands after its end is kept.

    Raises:
        ConfigError: the prompt was never embedded and no text encoder runs on the robot.
    """
    prompt, width = card.prompt_template.format(task=instruction), from_card(card).dit.text_dim
    if card.text_padding == "hashed":
        return hashed_text(prompt, card.text_length, width)
    return TextCache(folder / PROMPTS, card.text_length, width).read(prompt)


def save_weights(folder: Path, model: Mapping[str, Tensor], codecs: Codecs | None, dtype: torch.dtype) -> Path:
    """Write the weights of a model and its pixel codecs, if it has such; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.items()}
    for root, codec in zip(("codec.", "depth_codec."), codecs or (), strict=False):
        if isinstance(codec, PixelViews):
            tensors |= {f"{root}{name}": t.detach().float().contiguous() for name, t in codec.state_dict().items()}
    save_file(tensors, str(folder / WEIGHTS))
    return folder / WEIGHTS


def shapes_of(params: XWamParams) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of a model."""
    return {name: tuple(t.shape) for name, t in build_empty(params).state_dict().items()}


def _of_codec(name: str) -> bool:
    return name.startswith(("codec.", "depth_codec."))
