# SPDX-License-Identifier: Apache-2.0
"""Read the released X-WAM checkpoint: a DeepSpeed file that holds the whole runner, of which the DiT is kept.

The file is a pickle. It is read with ``weights_only=True``, so no code in it can run, and mapped instead of loaded:
text encoder and VAE, half of it, are never read. Normalisers come from the ``config.yaml`` beside it.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml

from wam_ros.core.card import Normaliser
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.convert import Tensors

STATES = Path("checkpoint") / "mp_rank_00_model_states.pt"
"""Below the folder ``last.ckpt``."""

MODEL = "model."
LEFT_OUT = ("text_encoder.", "vae.")
COMPILED = "_orig_mod."
ARMS = ("left", "right")


def read_released(path: Path) -> Tensors:
    """Return the DiT's tensors under their own names.

    Args:
        path: the model states themselves, or the ``.ckpt`` folder around them.

    Raises:
        ConfigError: unreadable, more than tensors, or something besides model, text encoder and VAE.
    """
    file = path / STATES if path.is_dir() else path
    data = _read(file)
    module = data.get("module", data) if isinstance(data, dict) else None
    if not isinstance(module, dict):
        raise ConfigError(mismatch(str(file), "a dict with 'module'", type(data).__name__, "give the model states"))
    kept: Tensors = {}
    for name, tensor in module.items():
        plain = str(name).replace(COMPILED, "")
        if plain.startswith(MODEL) and isinstance(tensor, torch.Tensor):
            kept[plain.removeprefix(MODEL)] = tensor
        elif not plain.startswith(LEFT_OUT):
            raise ConfigError(mismatch(str(file), "model.*, text_encoder.* and vae.*", name, "is this an X-WAM?"))
    if not kept:
        raise ConfigError(f"{file}: no tensors under 'model.'; give mp_rank_00_model_states.pt of a released X-WAM")
    return kept


def _read(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise ConfigError(
            f"{file}: holds more than tensors, and code in it is never run; save its 'module' alone where it is trusted"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(
            f"{file}: is not a whole torch checkpoint ({str(error).splitlines()[0]}); download it again"
        ) from error


def read_statistics(path: Path) -> tuple[Normaliser, Normaliser]:
    """Read the quantile maps of state (16) and action (14) from the configuration beside the weights.

    Quaternions are left as they are, nothing is clamped.

    Raises:
        ConfigError: unreadable, or naming the missing key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = _statistics(data)
        low, high = ({key: [float(v) for v in values] for key, values in found[q].items()} for q in ("q01", "q99"))
        return _state(low, high), _action(low, high)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: no X-WAM statistics ({error!r}); give the config.yaml that came with the weights"
        ) from error


def _statistics(data: Any) -> Any:
    """Return the block ``statistics``, at the top or below the data's own configuration."""
    parts = [data, *(part for part in data.values() if isinstance(part, dict))]
    return next((part["statistics"] for part in parts if "statistics" in part), None)


def _state(low: dict[str, list[float]], high: dict[str, list[float]]) -> Normaliser:
    def side(of: dict[str, list[float]], quaternion: float) -> tuple[float, ...]:
        arms = ([*of[f"proprio_{arm}_ee_xyz"], *4 * [quaternion], *of["gripper_pos"]] for arm in ARMS)
        return tuple(value for arm in arms for value in arm)

    return Normaliser("quantile", side(low, -1.0), side(high, 1.0), clamp=0.0)


def _action(low: dict[str, list[float]], high: dict[str, list[float]]) -> Normaliser:
    def side(of: dict[str, list[float]]) -> tuple[float, ...]:
        arms = ([*of[f"action_{arm}_ee_xyz"], *of[f"action_{arm}_ee_axisangle"], *of["gripper_action"]] for arm in ARMS)
        return tuple(value for arm in arms for value in arm)

    return Normaliser("quantile", side(low), side(high), clamp=0.0)
