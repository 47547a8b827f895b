# SPDX-License-Identifier: Apache-2.0
"""Instructions to text embeddings: UMT5 offline and cached, or hashed words without weights.

The text encoder (5.7 B parameters) never runs on the robot: ``wam convert`` embeds prompts once and stores them
by the hash of the prompt. Places after the end of the text are zero but stay visible, as in the released
policies; 128 tokens, not Wan's 512.
"""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wam_ros.core.errors import ConfigError, MissingDependencyError

WIDTH = 4096
"""Of UMT5-XXL's embeddings."""

PROMPT_TEMPLATE = "A video recorded from a robot's point of view executing the following instruction: {task}"
"""Of the released checkpoints (yuantianyuan01/FastWAM scripts/precompute_text_embeds.py); a card may say another."""


def cleaned(text: str) -> str:
    """Return the text as the tokenizer expects it: mended, unescaped twice, single spaces.

    Raises:
        MissingDependencyError: text beyond ASCII needs ftfy, which leaves ASCII as it is.
    """
    if not text.isascii():
        try:
            import ftfy
        except ImportError as error:
            raise MissingDependencyError(
                f"the prompt {text!r} is not ASCII and needs ftfy; pip install ftfy"
            ) from error
        text = ftfy.fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()


def hashed_text(prompt: str, length: int, width: int) -> Tensor:
    """Return an embedding without weights, (1, length, width) of -1, 0, 1: the same prompt always gives the same.

    Each word (lower case, with its place) is a pattern of signs drawn from its hash, so different words are
    nearly orthogonal. Words beyond ``length`` are folded onto the last token; places after the end are zero.
    """
    tokens = torch.zeros(1, length, width)
    for place, word in enumerate(cleaned(prompt).lower().split()):
        digest = hashlib.shake_128(f"{place} {word}".encode()).digest((width + 7) // 8)
        bits = [(byte >> bit) & 1 for byte in digest for bit in range(8)][:width]
        tokens[0, min(place, length - 1)] += torch.tensor(bits) * 2.0 - 1.0
    return tokens.clamp(-1, 1)


class TextCache:
    """Embeddings of prompts in a folder, one safetensors file for each, named by the prompt's hash."""

    def __init__(self, folder: Path, length: int, width: int) -> None:
        """Open a cache for embeddings (length, width); the folder need not exist."""
        self._folder, self._shape = folder, (length, width)

    def path_of(self, prompt: str) -> Path:
        """Return the file of a prompt."""
        return self._folder / f"{hashlib.sha256(prompt.encode()).hexdigest()}.len{self._shape[0]}.safetensors"

    def read(self, prompt: str) -> Tensor:
        """Return the embedding (1, length, width), zero after the end of the text.

        Raises:
            ConfigError: never embedded, unreadable, or of another length.
        """
        path = self.path_of(prompt)
        if not path.is_file():
            raise ConfigError(
                f"prompt {prompt!r}: expected its embedding at {path}, got nothing; "
                "embed it with 'wam convert --prompt' on a machine that has the text encoder"
            )
        try:
            stored = load_file(str(path))
            context, mask = stored["context"], stored["mask"]
        except (SafetensorError, OSError, KeyError) as error:
            raise ConfigError(
                f"{path}: is not a whole text embedding ({error!r}); delete it and embed again"
            ) from error
        if tuple(context.shape) != self._shape:
            raise ConfigError(
                f"{path}: expected an embedding of {self._shape}, got {tuple(context.shape)}; embed it for this model"
            )
        return (context * mask[:, None])[None]

    def write(self, prompt: str, context: Tensor, mask: Tensor) -> Path:
        """Store an embedding: context (length, width), mask (length,) True where there is text."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self.path_of(prompt)
        save_file({"context": context.contiguous(), "mask": mask.to(torch.bool).contiguous()}, str(path))
        return path


class Umt5:
    """The text encoder, from a local folder in transformers form; a tool, not part of the robot."""

    def __init__(self, folder: Path, length: int, device: torch.device | str = "cpu") -> None:
        """Load encoder and tokenizer from ``folder/text_encoder`` and ``folder/tokenizer``, never from the network.

        Raises:
            MissingDependencyError: transformers is not installed.
            ConfigError: the folder does not hold them.
        """
        try:
            from transformers import AutoTokenizer, UMT5EncoderModel
        except ImportError as error:
            raise MissingDependencyError(
                "embedding prompts needs transformers; pip install 'wam_ros[models]'"
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
            self._encoder = UMT5EncoderModel.from_pretrained(
                str(folder / "text_encoder"), local_files_only=True, torch_dtype=torch.bfloat16
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{folder}: expected 'tokenizer' and 'text_encoder' in transformers form, got {error}; download them"
            ) from error
        torch.nn.Module.to(self._encoder, device)
        self._length, self._device = length, device

    @torch.no_grad()
    def embed(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Return context (length, 4096) and mask (length,) of a prompt, on the CPU."""
        tokens = self._tokenizer(
            [cleaned(prompt)],
            padding="max_length",
            truncation=True,
            max_length=self._length,
            add_special_tokens=True,
            return_tensors="pt",
        ).to(self._device)
        context = self._encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return context[0].cpu(), tokens.attention_mask[0].bool().cpu()
