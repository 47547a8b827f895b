# SPDX-License-Identifier: Apache-2.0
"""A board as a PDF page that prints true to scale, with a ruler to check that it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.vision.boards import picture

PX_PER_MM = 25
DPI = PX_PER_MM * 25.4
PAGES_MM = {"A4": (297, 210), "A3": (420, 297), "A2": (594, 420), "A1": (841, 594), "A0": (1189, 841)}
MARGIN_MM = 10
FOOT_MM = 14
RULER_MM = 100


def write_board(board: Board, path: Path) -> str:
    """Write the board to a PDF of one page and return the page's name.

    Raises:
        ConfigError: no page is large enough, squares are not whole pixels, or the file cannot be written.
    """
    page, (width, height) = _page(board)
    square_px = board.square_m * 1e3 * PX_PER_MM
    if abs(square_px - round(square_px)) > 1e-6:
        raise ConfigError(
            mismatch("board: square_m", f"whole steps of {1 / PX_PER_MM} mm", board.square_m, "round it to that")
        )
    sheet = Image.new("1", (width * PX_PER_MM, height * PX_PER_MM), 1)
    drawn = Image.fromarray(np.asarray(picture(board, round(square_px))) > 127)
    left, top = (sheet.width - drawn.width) // 2, (sheet.height - FOOT_MM * PX_PER_MM - drawn.height) // 2
    sheet.paste(drawn, (left, top))
    _foot(sheet, board, left)
    try:
        sheet.save(path, "PDF", resolution=DPI)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written ({error}); choose another place, ending in .pdf") from error
    return page


def _page(board: Board) -> tuple[str, tuple[int, int]]:
    wanted = [1e3 * side for side in board.size_m]
    for name, (width, height) in PAGES_MM.items():
        if wanted[0] <= width - 2 * MARGIN_MM and wanted[1] <= height - 2 * MARGIN_MM - FOOT_MM:
            return name, (width, height)
    raise ConfigError(
        mismatch("board", "at most the size of A0", f"{wanted[0]:.0f} x {wanted[1]:.0f} mm", "make it smaller")
    )


def _foot(sheet: Image.Image, board: Board, left: int) -> None:
    """A ruler of 100 mm and what the board is."""
    draw, mm = ImageDraw.Draw(sheet), PX_PER_MM
    y = sheet.height - MARGIN_MM * mm
    draw.line([(left, y), (left + RULER_MM * mm, y)], fill=0, width=mm // 4)
    for tick in range(0, RULER_MM + 1, 10):
        draw.line([(left + tick * mm, y), (left + tick * mm, y - 2 * mm)], fill=0, width=mm // 8)
    text = f"This line is {RULER_MM} mm long: print without scaling and measure it.   {board.title}"
    draw.text((left, y + mm), text, fill=0, font=ImageFont.load_default(size=2.6 * mm))
