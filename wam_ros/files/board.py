# SPDX-License-Identifier: Apache-2.0
"""A calibration board as one line of text, for parameters of nodes and options of scenes."""

from __future__ import annotations

import json

import yaml

from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError
from wam_ros.files.load import from_data, to_data


def parse_board(text: str) -> Board:
    """Return the board of ``{columns: 11, rows: 8, square_m: 0.02, ...}``; what is not said is as in the standard one.

    Raises:
        ConfigError: not a board.
    """
    try:
        data = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise ConfigError(f"board: is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    return from_data(Board, data, "board")


def board_text(board: Board) -> str:
    """Return the line that :func:`parse_board` reads."""
    return json.dumps(to_data(board))
