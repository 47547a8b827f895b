# SPDX-License-Identifier: Apache-2.0
"""``wam convert``: released weights of other projects to a checkpoint folder with a card.

The weights do not say how they are meant; the policy YAML, the robot and the options here do, once, and the card
keeps it. Needs torch, and nothing of the robot.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

from wam_ros.core.card import Card, VectorLayout
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.card import read_card, sha256_of, write_card

NEW_PARTS = ("mot.mixtures.action.action_encoder.", "mot.mixtures.action.head.", "proprio_encoder.")
"""What belongs to one robot's vectors, and may be made anew for another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wam convert``."""
    add = parser.add_argument
    add("source", type=Path, nargs="?", help="official .pt, LeRobot or own .safetensors, or a folder of Wan2.2 shards")
    add("--family", default="fastwam", choices=["fastwam", "xwam"], help="xwam: source is the DeepSpeed model states")
    add("--out", type=Path, required=True, help="checkpoint folder to make, or to add prompts to")
    add(
        "--policy", default="hold", help="policy YAML whose mosaic, rate, horizon and executed rows it was trained with"
    )
    add("--robot", default="", help="robot whose joints are the state and action vectors")
    add("--size", default="full", choices=["full", "tiny"])
    add("--variant", default="main", choices=["main", "joint", "idm", "no_co_train", "optional_idm"])
    add("--target", default="velocity", choices=["velocity", "x0"], help="what the network predicts")
    add(
        "--shift", type=float, default=5.0, help="of the noise schedule: 5 for the two first releases, 1 for newer ones"
    )
    add("--steps", type=int, default=10, help="denoising steps")
    add("--seed", type=int, default=0, help="of the noise of every chunk")
    add("--stats", type=Path, help="dataset_stats.json that came with the weights")
    add("--normaliser", default="z_score", choices=["z_score", "min_max", "quantile"])
    add("--prompt-template", default="", help="with {task}; default: that of the released checkpoints")
    add("--licence", default="not stated", help="of the weights")
    add("--precision", default="bfloat16", choices=["float32", "float16", "bfloat16"], help="of the stored weights")
    add("--new-head", action="store_true", help="another robot: make action and state layers anew, to be trained")
    add(
        "--depth",
        type=float,
        nargs=2,
        metavar=("NEAR", "FAR"),
        help="of an X-WAM's depth pictures [m], if you know them",
    )
    add("--vae", type=Path, help="folder of the Wan2.2 VAE in diffusers form, copied into the checkpoint")
    add("--prompt", action="append", default=[], help="instruction to embed; may be repeated")
    add("--text-encoder", type=Path, help="folder of UMT5 in transformers form, for --prompt")


def convert(options: argparse.Namespace) -> list[str]:
    """Make a checkpoint folder, or embed prompts for one; returns what was done, a line each.

    Raises:
        ConfigError: what does not fit, and the remedy.
    """
    lines: list[str] = []
    if options.source is not None:
        from wam_ros.training import xwam_conversion

        lines += (xwam_conversion.convert_weights if options.family == "xwam" else _convert_weights)(options)
    elif not options.prompt:
        raise ConfigError("convert: expected a source file or --prompt, got neither; give one")
    if options.vae is not None:
        shutil.copytree(options.vae, options.out / "vae", dirs_exist_ok=True)
        lines.append(f"VAE copied from {options.vae}")
    if options.prompt:
        lines += _embed_prompts(options, read_card(options.out))
    return lines


def _convert_weights(options: argparse.Namespace) -> list[str]:
    import torch

    from wam_ros.models.checkpoint import shapes_of
    from wam_ros.models.convert import read_weights, require_exact
    from wam_ros.models.fastwam import build
    from wam_ros.models.latent import PixelCodec
    from wam_ros.training.export import export

    robot, policy = _robot(options), load_policy(options.policy)
    params = _params(options, policy, robot)
    tensors = read_weights(options.source)
    codec = PixelCodec(params.latent)
    stored_codec = {n.removeprefix("codec."): tensors.pop(n) for n in list(tensors) if n.startswith("codec.")}
    if stored_codec:
        codec.load_state_dict(stored_codec)
    made = require_exact(shapes_of(params), _kept(tensors, options), NEW_PARTS if options.new_head else ())
    if made:
        fresh = build(dataclasses.replace(params), dtype=torch.float32).state_dict()
        tensors.update({name: fresh[name] for name in made})
    maps, provenance = _maps(options, robot), _provenance(options, policy, robot)
    card = export(options.out, params, tensors, codec, maps, provenance, getattr(torch, options.precision))
    write_card(options.out, dataclasses.replace(card, source_sha256=_hash(options.source)))
    lines = [f"{len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} parameters -> {options.out}"]
    return lines + [f"NOT FROM THE SOURCE, made anew and untrained: {name}" for name in made]


def _kept(tensors: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    if options.new_head:
        for name in [n for n in tensors if n.startswith(NEW_PARTS)]:
            del tensors[name]
    return tensors


def _robot(options: argparse.Namespace) -> Robot:
    if not options.robot:
        raise ConfigError("convert: expected --robot, got none; name the robot whose joints the vectors are")
    return load_robot(options.robot)


def _params(options: argparse.Namespace, policy: Policy, robot: Robot) -> Any:
    from wam_ros.models.params import sized

    size = len(robot.joint_names)
    changes: dict[str, Any] = {"variant": options.variant, "target": options.target, "steps": options.steps}
    changes |= {"shift_video": options.shift, "shift_action": options.shift, "horizon": policy.horizon}
    changes |= {"rate_hz": policy.rate_hz, "action_dim": size, "proprio_dim": size}
    if options.size == "full":
        changes |= {"picture_height": policy.mosaic.height, "picture_width": policy.mosaic.width}
    return sized(options.size, **changes)


def _maps(options: argparse.Namespace, robot: Robot) -> Any:
    from wam_ros.models.convert import read_dataset_stats
    from wam_ros.training.data import Normalisers

    if options.stats is None:
        raise ConfigError("convert: expected --stats, got none; give the dataset_stats.json that came with the weights")
    maps = Normalisers(*(read_dataset_stats(options.stats, part, options.normaliser) for part in ("state", "action")))
    for part, of_stats in zip(("state", "action"), maps, strict=True):
        if of_stats.shape != (len(robot.joint_names),):
            what = f"{options.stats}: {part} of robot {robot.name}"
            raise ConfigError(
                mismatch(what, f"{len(robot.joint_names)} dimensions", of_stats.shape, "give this robot's statistics")
            )
    return maps


def _provenance(options: argparse.Namespace, policy: Policy, robot: Robot) -> Any:
    from wam_ros.models.text import PROMPT_TEMPLATE
    from wam_ros.training.export import Provenance

    layout = VectorLayout("joint_absolute", robot.joint_names)
    return Provenance(
        size=options.size,
        state=layout,
        action=layout,
        mosaic=policy.mosaic,
        prompt_template=options.prompt_template or PROMPT_TEMPLATE,
        execute_rows=policy.execute_rows,
        licence=options.licence,
        source=options.source.name,
        command="wam convert",
        seed=options.seed,
    )


def _embed_prompts(options: argparse.Namespace, card: Card) -> list[str]:
    import torch

    from wam_ros.models.checkpoint import PROMPTS
    from wam_ros.models.text import WIDTH, TextCache, Umt5

    if card.text_padding == "hashed":
        return ["prompts need no embedding: this checkpoint hashes its text"]
    if options.text_encoder is None:
        raise ConfigError("convert --prompt: expected --text-encoder, got none; give the folder of UMT5")
    encoder = Umt5(options.text_encoder, card.text_length)
    cache = TextCache(options.out / PROMPTS, card.text_length, WIDTH)
    lines = []
    for prompt in (card.prompt_template.format(task=task) for task in options.prompt):
        context, mask = encoder.embed(prompt)
        # What the encoder leaves after the end of the text is part of some models' input.
        kept = torch.ones_like(mask) if card.text_padding == "raw" else mask
        lines.append(f"embedded {prompt!r} -> {cache.write(prompt, context, kept)}")
    return lines


def _hash(source: Path) -> str:
    return sha256_of(source) if source.is_file() else ""


def check_checkpoint(folder: Path) -> list[str]:
    """Return what a checkpoint is, after reading its card, its weights' hash, every tensor's name and shape.

    Raises:
        ConfigError: what is wrong with it.
    """
    card = read_card(folder)
    count = _loaded(folder, card)
    return [
        f"{folder}: {card.family} {card.variant} {card.size}, {count:,} parameters, licence {card.licence}",
        f"state {card.state.kind} ({len(card.state.names)}), action {card.action.kind} ({len(card.action.names)}), "
        f"{card.horizon} rows at {card.rate_hz:g} Hz, {card.execute_rows} executed",
        f"mosaic {card.mosaic.height}x{card.mosaic.width} of {', '.join(c.camera for c in card.mosaic.cells)}",
        f"predicts {card.target}, shift {card.shift_action:g}, {card.steps} steps, seed {card.seed}",
    ]


def _loaded(folder: Path, card: Card) -> int:
    """Load a checkpoint strictly and return its number of parameters."""
    from wam_ros.models import checkpoint
    from wam_ros.models.xwam import checkpoint as xwam

    if card.family == "xwam":
        xwam.load_codecs(folder, card)
        return sum(p.numel() for p in xwam.load_model(folder, card).parameters())
    checkpoint.load_codec(folder, card)
    return sum(p.numel() for p in checkpoint.load_model(folder, card).parameters())
