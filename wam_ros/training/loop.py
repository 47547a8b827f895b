# SPDX-License-Identifier: Apache-2.0
"""The training loop: warm-up and cosine, clipping, averaged weights, resume, metrics and a loss plot.

Devices, mixed precision and several processes are accelerate's business; the loop is the same on two CPU
cores and under ``torchrun``. What it leaves in its folder: ``model.safetensors`` (averaged weights),
``metrics.jsonl``, ``loss.svg``, and ``resume.pt`` (read with ``weights_only=True``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.training.optimisers import optimisers
from wam_ros.training.options import TrainOptions
from wam_ros.training.plots import plot_losses

METRICS, RESUME, WEIGHTS, PLOT = "metrics.jsonl", "resume.pt", "model.safetensors", "loss.svg"


@dataclass
class Metrics:
    """Losses of logged steps, in memory and as lines of JSON."""

    path: Path
    rows: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, before_step: int) -> Metrics:
        """Continue the file of a resumed run, dropping what came after its checkpoint."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = [row for row in map(json.loads, lines) if row["step"] <= before_step]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return cls(path, rows)

    def add(self, row: dict[str, float]) -> None:
        """Keep one logged step."""
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential average of a model's weights; young averages follow faster."""

    def update(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        step = float(count)
        return torch.lerp(average, current, 1 - min(decay, (1 + step) / (10 + step)))

    return AveragedModel(model, avg_fn=update)


def rate_factor(step: int, options: TrainOptions) -> float:
    """Return the share of the highest learning rate at a step."""
    warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps)))
    return warm * (options.final_share + (1 - options.final_share) * cosine)


class Training:
    """One run of the loop; :meth:`run` may be called again in another process to resume it."""

    def __init__(self, objective: nn.Module, options: TrainOptions, folder: Path) -> None:
        """Begin, or go on.

        Args:
            objective: has the ``model``, and makes of a batch a named tuple of losses whose first is the ``total``.
            options: how long and how fast.
            folder: for everything that is left.

        Raises:
            ConfigError: the folder holds the run of another model.
        """
        model = cast("nn.Module", objective.model)
        folder.mkdir(parents=True, exist_ok=True)
        self.options, self.folder = options, folder
        mixed = "no" if options.precision == "float32" else options.precision
        self._accelerator = Accelerator(mixed_precision=mixed, cpu=not torch.cuda.is_available())
        set_seed(options.seed, device_specific=True)
        chosen = optimisers(model, options)
        # Not prepared: the engine would step them once for each process.
        self._rates = [LambdaLR(each, lambda step: rate_factor(step, options)) for each in chosen]
        fused = torch.compile(objective) if options.compile else objective
        self._objective, *self._optimisers = self._accelerator.prepare(fused, *chosen)
        self._model = model
        self._average = averaged(model, options.ema)
        self._losses: tuple[str, ...] = ()
        self.step = 0
        self._resume()
        self._metrics = Metrics.of(folder / METRICS, self.step)

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The logged steps so far: step, each loss, grad_norm, step_s, learning_rate."""
        return list(self._metrics.rows)

    def run(self, batches: Iterable[Any], *, quiet: bool = False) -> nn.Module:
        """Train to the last step and return the model with averaged weights.

        Args:
            batches: endless, on any device.
            quiet: no progress bar.

        Raises:
            BackendError: when the loss is not finite.
        """
        stream, begun_s, first = iter(batches), monotonic(), self.step
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=quiet or not self._accelerator.is_main_process) as bar:
            task = bar.add_task("training", total=self.options.steps, completed=self.step)
            while self.step < self.options.steps:
                row = self._one(stream)
                if self.step % self.options.log_every == 0 or self.step in {1, self.options.steps}:
                    row["step_s"] = (monotonic() - begun_s) / (self.step - first)
                    self._log(row)
                if self.step % self.options.checkpoint_every == 0:
                    self._save()
                said = " ".join(f"{name} {row[name]:.4f}" for name in self._losses)
                bar.update(task, completed=self.step, description=said)
        self._save()
        return self._average.module

    def _one(self, stream: Iterator[Any]) -> dict[str, float]:
        losses = self._objective(_moved(next(stream), self._accelerator.device))
        if not torch.isfinite(losses.total):
            raise BackendError(
                f"training: the loss at step {self.step + 1} is not finite; lower learning_rate or check the data"
            )
        for each in self._optimisers:
            each.zero_grad()
        self._accelerator.backward(losses.total)
        norm = self._accelerator.clip_grad_norm_(self._objective.parameters(), self.options.clip_norm)
        for part in (*self._optimisers, *self._rates):
            part.step()
        self._average.update_parameters(self._model)
        self.step += 1
        self._losses = losses._fields[1:]
        return {
            "step": self.step,
            **{name: getattr(losses, name).item() for name in self._losses},
            "grad_norm": float(norm),
        }

    def _log(self, row: dict[str, float]) -> None:
        if self._accelerator.is_main_process:
            self._metrics.add({**row, "learning_rate": float(self._rates[0].get_last_lr()[0])})

    def _save(self) -> None:
        if not self._accelerator.is_main_process:
            return
        weights = {name: tensor.contiguous() for name, tensor in self._average.module.state_dict().items()}
        save_file(weights, self.folder / WEIGHTS)
        plot_losses(self._metrics.rows, self._losses, self.folder / PLOT)
        state = {
            "step": self.step,
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "rates": [rate.state_dict() for rate in self._rates],
            "random": torch.get_rng_state(),
        }
        partial = self.folder / f"{RESUME}.partial"
        torch.save(state, partial)
        partial.replace(self.folder / RESUME)

    def _resume(self) -> None:
        path = self.folder / RESUME
        if not path.exists():
            return
        state = torch.load(path, map_location=self._accelerator.device, weights_only=True)
        try:
            self._model.load_state_dict(state["model"])
            for name, parts in (("optimisers", self._optimisers), ("rates", self._rates)):
                for part, kept in zip(parts, state[name], strict=True):
                    part.load_state_dict(kept)
        except (RuntimeError, KeyError, ValueError) as error:
            what = "belongs to another model or optimiser"
            raise ConfigError(f"{path}: {what}; choose another folder or remove it") from error
        self._average.load_state_dict(state["average"])
        torch.set_rng_state(state["random"].cpu())
        self.step = state["step"]


def _moved(batch: Any, device: torch.device) -> Any:
    """Return a named tuple of tensors, or of such tuples, on a device."""
    return batch.to(device) if isinstance(batch, Tensor) else type(batch)(*(_moved(part, device) for part in batch))
