# SPDX-License-Identifier: Apache-2.0
"""Prompts: cleaned as the tokenizer expects, cached by hash, or hashed without weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.models.text import PROMPT_TEMPLATE, TextCache, Umt5, cleaned, hashed_text

WORDS = st.lists(
    st.sampled_from(["fold", "the", "towel", "pick", "place", "red", "cup", "left", "right"]), min_size=1, max_size=12
)


def test_a_prompt_is_unescaped_twice_and_has_single_spaces():
    assert cleaned("  fold\n the &amp;lt;towel&amp;gt; ") == "fold the <towel>"
    assert cleaned(PROMPT_TEMPLATE.format(task="fold")).endswith("instruction: fold")


@given(WORDS)
def test_hashed_text_is_the_same_for_the_same_prompt_and_zero_after_its_end(words):
    prompt = " ".join(words)
    text = hashed_text(prompt, 8, 32)
    assert text.shape == (1, 8, 32)
    assert torch.equal(text, hashed_text(f" {prompt.upper()}  ", 8, 32))
    assert text[0, len(words) :].abs().sum() == 0
    assert (text[0, : min(len(words), 8)].abs().sum(dim=-1) > 0).all()


def test_hashed_text_never_changes():
    """A trained model depends on it; these signs were written down once."""
    signs = ["-+---+-+", "++--+---", "++-++-+-", "........"]
    values = {"+": 1.0, "-": -1.0, ".": 0.0}
    assert hashed_text("fold the towel", 4, 8)[0].tolist() == [[values[c] for c in row] for row in signs]


@given(WORDS, WORDS)
def test_different_prompts_have_different_hashes(a, b):
    if a != b and max(len(a), len(b)) <= 8:
        assert not torch.equal(hashed_text(" ".join(a), 8, 128), hashed_text(" ".join(b), 8, 128))


def test_a_cached_embedding_comes_back_with_its_padding_zeroed(tmp_path):
    cache = TextCache(tmp_path / "text", 5, 3)
    context = torch.randn(5, 3).bfloat16()
    cache.write("fold the towel", context, torch.tensor([1, 1, 1, 0, 0]).bool())
    text = cache.read("fold the towel")
    assert text.shape == (1, 5, 3)
    assert torch.equal(text[0, :3], context[:3])
    assert text[0, 3:].abs().sum() == 0


def test_a_prompt_that_was_never_embedded_names_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="wam convert"):
        TextCache(tmp_path, 5, 3).read("fold the towel")


def test_an_embedding_of_another_model_or_a_broken_file_is_refused(tmp_path):
    cache = TextCache(tmp_path, 5, 3)
    cache.write("fold", torch.zeros(5, 4), torch.ones(5))
    with pytest.raises(ConfigError, match="embed it"):
        cache.read("fold")
    cache.path_of("fold").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="whole"):
        cache.read("fold")


def test_a_folder_without_the_encoder_is_named(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(ConfigError, match="tokenizer"):
        Umt5(tmp_path, 128)
