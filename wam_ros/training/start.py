# SPDX-License-Identifier: Apache-2.0
"""A training that begins with the weights of a checkpoint, and with the ranges and codecs that give them their meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from wam_ros.core.card import Card, VectorLayout
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.files.card import find_checkpoint, read_card
from wam_ros.training.data import Normalisers


def read_start(name: str, wanted: Mapping[str, Any]) -> tuple[Path, Card]:
    """Return folder and card of the checkpoint to begin with.

    Args:
        name: a folder, or a name below ``checkpoints/``.
        wanted: what its card must say, by the names of its fields.

    Raises:
        ConfigError: it is not there, is damaged, or was made for something else.
    """
    folder = find_checkpoint(name)
    card = read_card(folder)
    for what, value in wanted.items():
        if getattr(card, what) != value:
            raise ConfigError(
                mismatch(f"training from {folder}: {what}", value, getattr(card, what), "begin without it")
            )
    return folder, card


def take_weights(model: nn.Module, begun: nn.Module, folder: Path) -> None:
    """Give a model the weights of the one to begin with.

    Raises:
        ConfigError: it is another one.
    """
    try:
        model.load_state_dict(begun.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"training from {folder}: its model has other sizes; begin without it") from error


def maps_of(card: Card, action: VectorLayout, anew: Callable[[], Normalisers], folder: Path) -> Normalisers:
    """Return the maps of state and action to go on with.

    Args:
        card: of the checkpoint to begin with.
        action: what rows will say; of another kind than the card's, their ranges are taken anew.
        anew: ranges of the data.
        folder: of the checkpoint.

    Raises:
        ConfigError: rows of other joints.
    """
    if card.action.names != action.names:
        what = f"training from {folder}: joints of a row"
        raise ConfigError(mismatch(what, action.names, card.action.names, "begin without it"))
    rows = card.action_normaliser if card.action == action else anew().action
    return Normalisers(card.state_normaliser, rows)


def said(name: str) -> str:
    """Return what a card says of the checkpoint that a training began with, if it did."""
    return f"; from the weights of {Path(name).name}" if name else ""
