# SPDX-License-Identifier: Apache-2.0
"""Read and write the card of a checkpoint folder: ``card.json`` beside ``model.safetensors``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError
from wam_ros.core.policy import Policy
from wam_ros.files.assets import find
from wam_ros.files.load import from_data, to_data

CARD = "card.json"
WEIGHTS = "model.safetensors"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def checkpoint_folder(policy: Policy) -> Path:
    """Return the folder of a policy's checkpoint: a path, or a name below ``checkpoints/``.

    Raises:
        ConfigError: none is given, or it is not there.
    """
    if not policy.checkpoint:
        raise ConfigError(
            f"policy {policy.name}: expected a checkpoint, got none; set 'checkpoint' to a folder with a card"
        )
    return find_checkpoint(policy.checkpoint)


def find_checkpoint(name: str) -> Path:
    """Return a checkpoint's folder: a path, or a name below ``checkpoints/``.

    Raises:
        ConfigError: it is not there.
    """
    given = Path(name).expanduser()
    return given if given.is_dir() else find(f"checkpoints/{name}")


def parse_card(folder: Path) -> Card:
    """Read the card of a checkpoint folder, whatever weights lie beside it.

    Raises:
        ConfigError: a missing or malformed card.
    """
    path = folder / CARD
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no card; expected a folder made by 'wam convert' or 'wam train'") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a readable JSON card ({error}); convert the checkpoint again") from error
    return from_data(Card, data, str(path))


def read_card(folder: Path) -> Card:
    """Read the card of a checkpoint folder, and check that the weights are the ones it speaks of.

    Raises:
        ConfigError: a missing or malformed card, missing weights, or weights with another hash.
    """
    card = parse_card(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ConfigError(f"{weights}: no weights beside the card; copy the whole folder")
    found = sha256_of(weights)
    if found != card.weights_sha256:
        raise ConfigError(
            f"{weights}: expected sha256 {card.weights_sha256[:12]}..., got {found[:12]}...; "
            "the file is damaged or belongs to another card: copy the whole folder again"
        )
    return card


def write_card(folder: Path, card: Card) -> Path:
    """Write the card of a checkpoint folder; returns its path."""
    path = folder / CARD
    path.write_text(json.dumps(to_data(card), indent=1) + "\n", encoding="utf-8")
    return path
