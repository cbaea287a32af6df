"""A row of a sheet: the input, then all candidates by rank."""

from __future__ import annotations

import numpy as np

from caflow_cli.inference import restore
from caflow_cli.inference.grid import grid_row


def test_a_row_shows_the_input_and_all_candidates_ten_to_a_line(small_model):
    image = np.random.default_rng(0).integers(60, 190, (4, 4, 3), np.uint8)
    result = restore(small_model, image, 0.8, 11)
    row = grid_row("name", result)
    cell, gap = 192, 12
    assert row.shape[1] == 11 * (cell + gap) - gap
    assert np.array_equal(row[:cell:48, :cell:48], image)
    line = (row.shape[0] + gap) // 2  # from one line of candidates to the next
    for place, candidate in enumerate(result.ranked):
        top, left = place // 10 * line, (1 + place % 10) * (cell + gap)
        shown = row[top : top + cell : 12, left : left + cell : 12]
        assert np.array_equal(shown, candidate.image), place
        assert row[top + cell : top + cell + 40, left : left + cell].min() < 100  # its caption
