# SPDX-License-Identifier: Apache-2.0
"""Read released weights of other projects and give them official Fast-WAM names.

Four forms are known (research facts, no code of theirs): the official ``.pt`` (a dict with ``mot`` and
``proprio_encoder``), the LeRobot safetensors (blocks under ``layers.<i>.blocks.<expert>`` and an outer
prefix), plain Wan2.2 shards (the video expert alone), and our own. A ``.pt`` is read with
``weights_only=True``, so no code in it can run; nothing but this conversion ever reads one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from wam_ros.core.card import Normaliser
from wam_ros.core.errors import ConfigError

Tensors = dict[str, torch.Tensor]

_LEROBOT_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(video|action)\.")
_WAN_ROOTS = ("patch_embedding.", "text_embedding.", "time_embedding.", "time_projection.", "blocks.", "head.")


def official_name(name: str) -> str:
    """Return the name of this package's modules for a tensor of any known form.

    It is the official one, ``mixtures.<expert>...`` below ``mot``, or ``proprio_encoder...``.
    """
    for prefix in ("model.", "mot."):
        while name.startswith(prefix):
            name = name[len(prefix) :]
    name = _LEROBOT_BLOCK.sub(r"mixtures.\2.blocks.\1.", name)
    if name.startswith(_WAN_ROOTS):
        name = f"mixtures.video.{name}"
    return f"mot.{name}" if name.startswith("mixtures.") else name


def official_names(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Return tensors under official names.

    Raises:
        ConfigError: if two tensors get one name.
    """
    out: Tensors = {}
    for name, tensor in tensors.items():
        official = official_name(name)
        if official in out:
            raise ConfigError(f"checkpoint: {name} and another tensor both mean {official}; the file mixes two forms")
        out[official] = tensor
    return out


def read_weights(path: Path) -> Tensors:
    """Read a ``.pt``, a ``.safetensors``, or a folder of safetensors shards; names are official.

    Raises:
        ConfigError: unreadable, truncated, not tensors only, or of no known form.
    """
    if path.is_dir():
        shards = sorted(path.glob("*.safetensors"))
        if not shards:
            raise ConfigError(f"{path}: expected *.safetensors shards, got none; give the folder that holds them")
        return official_names({name: t for shard in shards for name, t in _read_safetensors(shard).items()})
    if path.suffix == ".safetensors":
        return official_names(_read_safetensors(path))
    if path.suffix in {".pt", ".pth", ".ckpt"}:
        return official_names(_flatten(_read_pt(path), path))
    raise ConfigError(
        f"{path}: expected a .pt or .safetensors file or a folder of shards; got {path.suffix or 'no suffix'}"
    )


def _read_safetensors(path: Path) -> Tensors:
    try:
        return dict(load_file(str(path)))
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: is not a whole safetensors file ({error}); download it again") from error


def _read_pt(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ConfigError(
            f"{path}: holds more than tensors, and code in it is never run; ask its author for safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(
            f"{path}: is not a whole torch checkpoint ({str(error).splitlines()[0]}); download it again"
        ) from error


def _flatten(data: Any, path: Path) -> Tensors:
    """Bring the official dict (``mot``, ``proprio_encoder``, legacy ``dit``) to one level of names."""
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: expected a dict of tensors, got {type(data).__name__}; this is not a known checkpoint"
        )
    flat: Tensors = {}
    for key, value in data.items():
        if key in {"mot", "dit", "module"} and isinstance(value, dict):
            prefix = "mixtures.video." if key == "dit" else ""
            flat.update({prefix + name: t for name, t in value.items()})
        elif key == "proprio_encoder" and isinstance(value, dict):
            flat.update({f"proprio_encoder.{name}": t for name, t in value.items()})
        elif isinstance(value, torch.Tensor):
            flat[key] = value
    if not flat:
        raise ConfigError(f"{path}: no tensors under 'mot', 'dit' or at the top level; this is not a known checkpoint")
    return flat


def require_exact(
    expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, torch.Tensor], allowed_missing: Iterable[str] = ()
) -> list[str]:
    """Check names and shapes strictly; returns the allowed names that are missing, to be said loudly.

    Args:
        expected: name to shape, of the model that will load them.
        tensors: what was read.
        allowed_missing: prefixes of tensors that may be new (an action head on another robot).

    Raises:
        ConfigError: naming the first few missing, unexpected or misshapen tensors.
    """
    prefixes = tuple(allowed_missing)
    missing = [n for n in expected if n not in tensors]
    forgiven = [n for n in missing if prefixes and n.startswith(prefixes)]
    faults = [f"missing {n}" for n in missing if n not in forgiven]
    faults += [f"unexpected {n}" for n in tensors if n not in expected]
    faults += [
        f"{n}: expected {tuple(expected[n])}, got {tuple(t.shape)}"
        for n, t in tensors.items()
        if n in expected and tuple(t.shape) != tuple(expected[n])
    ]
    if faults:
        raise ConfigError(
            f"checkpoint does not fit the model: {'; '.join(faults[:4])}"
            f"{f' and {len(faults) - 4} more' if len(faults) > 4 else ''}; check variant, size and action dimensions"
        )
    return forgiven


def read_dataset_stats(path: Path, part: str, kind: str) -> Normaliser:
    """Read one normaliser from an official ``dataset_stats.json``.

    Args:
        path: the file; top keys ``state`` and ``action``, below them ``default``, below it ``global_*`` vectors.
        part: ``state`` or ``action``.
        kind: ``z_score``, ``min_max`` or ``quantile``.

    Raises:
        ConfigError: naming the missing key.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        group = data[part]
        stats = group.get("default", group)
        if kind == "z_score":
            pairs = [
                (m - s - 1e-8, m + s + 1e-8) for m, s in zip(stats["global_mean"], stats["global_std"], strict=True)
            ]
            low, high = zip(*pairs, strict=True)
        elif kind == "min_max":
            low, high = stats["global_min"], stats["global_max"]
        elif kind == "quantile":
            low, high = stats["global_q01"], stats["global_q99"]
        else:
            raise ConfigError(f"normaliser: expected z_score, min_max or quantile, got {kind}; choose one")
        return Normaliser(kind, tuple(map(float, low)), tuple(map(float, high)))  # type: ignore[arg-type]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: no {part} statistics for {kind} ({error!r}); give the official dataset_stats.json"
        ) from error
