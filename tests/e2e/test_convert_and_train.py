# SPDX-License-Identifier: Apache-2.0
"""From training YAML to checkpoint to a robot that moves within its limits, through the command line."""

import json

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
from wam_ros.cli import main


def test_a_training_run_from_the_command_line_leaves_a_checkpoint_that_passes_the_check(tmp_path, capsys):
    short = [
        "--set",
        "train.options.steps=2",
        "--set",
        "train.options.log_every=1",
        "--set",
        "train.synthetic.episodes=1",
    ]
    assert main(["train", "synthetic", "--out", str(tmp_path / "a"), *short]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert main(["check", "checkpoint", str(tmp_path / "a")]) == 0
    assert "fastwam main tiny" in capsys.readouterr().out
    samples = tmp_path / "a" / "samples.png"
    assert samples.read_bytes().startswith(b"\x89PNG")
    samples.unlink()
    assert main(["train", "synthetic", "--out", str(tmp_path / "a"), *short, "--samples"]) == 0
    assert capsys.readouterr().out == f"{samples}\n"
    assert samples.exists()
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert card["command"].startswith("wam train synthetic --set train.options.steps=2")
    assert main(["train", "synthetic", "--out", str(tmp_path / "b"), "--from", str(tmp_path / "a"), *short]) == 0
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["command"].startswith(f"wam train synthetic --from {tmp_path / 'a'} --set train.options.steps=2")
    assert card["source"].endswith("; from the weights of a")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "nothing", "--out", "x"], "not found"),
        (["train", "synthetic", "--out", "x", "--set", "train.options.stepz=1"], "unknown key"),
        (["train", "synthetic", "--out", "x", "--from", "nowhere"], "checkpoints/nowhere"),
        (["train", "synthetic", "--out", "x", "--samples"], "is not a whole safetensors file"),
        (["check", "checkpoint", "nowhere"], "no card"),
        (["convert", "--out", "x"], "neither"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
