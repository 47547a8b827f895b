# SPDX-License-Identifier: Apache-2.0
"""Who may attend to whom: the one table behind every variant.

Groups of tokens: ``first`` (the observed frame), ``future`` (later frames, noisy), ``action``; and for the
inverse-dynamics variants in training a second copy of the clip that the actions read, ``seen_first`` and
``seen``. Video never reads actions, and the first frame reads nothing but itself (and the text), in every
variant. So its keys and values do not depend on anything that is being denoised.

Source: yuantianyuan01/FastWAM src/fastwam/models/wan22 (first_frame_causal); conv0lution/FastWAM for the
optional variant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from wam_ros.models.params import Variant

Group = Literal["first", "future", "seen_first", "seen", "action"]
Groups = Sequence[tuple[Group, int]]
"""Groups of a sequence in order, each with its number of tokens."""

Procedure = Literal["main", "joint", "idm"]
"""How a chunk is made: beside the first frame alone, together with the future, or after the future."""

_VIDEO: dict[Group, frozenset[Group]] = {
    "first": frozenset({"first"}),
    "future": frozenset({"first", "future"}),
    "seen_first": frozenset({"seen_first"}),
    "seen": frozenset({"seen_first", "seen"}),
}
_ACTION_IN_TRAINING: dict[Procedure, frozenset[Group]] = {
    "main": frozenset({"first", "action"}),
    "joint": frozenset({"first", "future", "action"}),
    "idm": frozenset({"seen_first", "seen", "action"}),
}
# At inference the finished future takes the place of the noisy one, so there is no second copy.
_ACTION_AT_INFERENCE: dict[Procedure, frozenset[Group]] = {
    "main": frozenset({"first", "action"}),
    "joint": frozenset({"first", "future", "action"}),
    "idm": frozenset({"first", "future", "action"}),
}


def procedure(variant: Variant, mode: Literal["idm", "first_frame"] = "idm") -> Procedure:
    """Return how a variant makes a chunk.

    Args:
        mode: of ``optional_idm`` only, which was trained for both; ``first_frame`` is as fast as main.
    """
    if variant == "optional_idm":
        return "idm" if mode == "idm" else "main"
    return "main" if variant == "no_co_train" else variant


def table(of: Procedure, *, training: bool) -> Mapping[Group, frozenset[Group]]:
    """Return which groups each group may attend to."""
    return {**_VIDEO, "action": (_ACTION_IN_TRAINING if training else _ACTION_AT_INFERENCE)[of]}


def attention_mask(
    queries: Groups, keys: Groups, may: Mapping[Group, frozenset[Group]], device: torch.device | str = "cpu"
) -> Tensor:
    """Return (queries, keys) bool, True where a query may see a key."""
    rows = [
        torch.cat([torch.full((q, k), key in may[query], device=device) for key, k in keys], dim=1)
        for query, q in queries
    ]
    return torch.cat(rows, dim=0)


def only_where(mask: Tensor, queries: Groups, keys: Groups, sees_future: Tensor) -> Tensor:
    """Return the mask for each sample, (B, 1, N, M): actions lose the future where ``sees_future`` is False.

    Args:
        mask: (N, M) of the inverse-dynamics procedure.
        sees_future: (B,) bool, the coin of the optional variant.
    """
    rows = torch.cat([torch.full((n,), group == "action") for group, n in queries])
    columns = torch.cat([torch.full((n,), group in {"seen", "future"}) for group, n in keys])
    coin = (rows[:, None] & columns).to(mask.device)
    return (mask & (~coin | sees_future[:, None, None]))[:, None]
