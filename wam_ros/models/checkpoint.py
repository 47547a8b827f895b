# SPDX-License-Identifier: Apache-2.0
"""A checkpoint folder: ``card.json``, ``model.safetensors`` and, for encoders with weights, what they need.

Tensors have the official names; the pixel codec's two tensors stand beside them as ``codec.*``. Weights may be
stored in half precision. Loading is strict: every tensor of the model, no other, each of its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError
from wam_ros.models.convert import require_exact
from wam_ros.models.fastwam import FastWam, build
from wam_ros.models.latent import Codec, PixelCodec, WanCodec
from wam_ros.models.params import FastWamParams, from_card
from wam_ros.models.text import TextCache, hashed_text

WEIGHTS, VAE, PROMPTS = "model.safetensors", "vae", "prompts"


def load_model(
    folder: Path, card: Card, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FastWam:
    """Return the model of a checkpoint with its weights.

    Raises:
        ConfigError: damaged weights, or weights that are not those of the card's model.
    """
    params = from_card(card)
    tensors = {name: t for name, t in read_tensors(folder).items() if not name.startswith("codec.")}
    require_exact(shapes_of(params), tensors)
    model = build(params, device="meta", dtype=dtype)
    model.load_state_dict({name: t.to(device, dtype) for name, t in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def load_codec(
    folder: Path, card: Card, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Codec:
    """Return the latent codec of a checkpoint.

    Raises:
        ConfigError: its tensors or its folder are missing.
    """
    params = from_card(card)
    if params.latent.codec == "wan_vae":
        return WanCodec.load(folder / VAE, device, dtype)
    codec = PixelCodec(params.latent)
    tensors = {n.removeprefix("codec."): t.float() for n, t in read_tensors(folder).items() if n.startswith("codec.")}
    require_exact({n: tuple(t.shape) for n, t in codec.state_dict().items()}, tensors)
    codec.load_state_dict(tensors)
    return codec.to(device)


def embed_prompt(folder: Path, card: Card, instruction: str) -> Tensor:
    """Return the text embedding (1, L, text_dim) of an instruction.

    Raises:
        ConfigError: the prompt was never embedded and no text encoder runs on the robot.
    """
    params = from_card(card)
    prompt = card.prompt_template.format(task=instruction)
    if card.text_padding == "hashed":
        return hashed_text(prompt, card.text_length, params.video.text_dim)
    return TextCache(folder / PROMPTS, card.text_length, params.video.text_dim).read(prompt)


def save_weights(folder: Path, model: Mapping[str, Tensor], codec: Codec, dtype: torch.dtype = torch.float32) -> Path:
    """Write the weights of a model and its pixel codec; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.items()}
    if isinstance(codec, PixelCodec):
        tensors |= {f"codec.{name}": t.detach().float().contiguous() for name, t in codec.state_dict().items()}
    save_file(tensors, str(folder / WEIGHTS))
    return folder / WEIGHTS


def shapes_of(params: FastWamParams) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of a model, made without memory."""
    return {name: tuple(t.shape) for name, t in build(params, device="meta").state_dict().items()}


def with_changes(params: FastWamParams) -> dict[str, float | int | bool | str]:
    """Return what a card must say of parameters besides its own fields: the picture's size where it is not the named size's."""
    return {"picture_height": params.latent.picture_height, "picture_width": params.latent.picture_width}


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint folder, codecs included.

    Raises:
        ConfigError: damaged weights.
    """
    try:
        return dict(load_file(str(folder / WEIGHTS)))
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"{folder / WEIGHTS}: is not a whole safetensors file ({error}); copy the folder again"
        ) from error
