"""The latents of a candidate come from one generator, one set behind the other."""

from __future__ import annotations

import torch

from caflow_cli.inference.latents import LatentRows, Latents


def test_every_call_takes_the_next_latents_of_the_seed(small_model):
    size = (16, 48)
    latents = Latents(small_model, 42, size)
    generator = torch.Generator().manual_seed(42)
    for _ in range(3):
        for z, shape in zip(latents(), small_model.latent_shapes(size), strict=True):
            assert torch.equal(z, torch.randn(shape, generator=generator))


def test_the_first_are_those_of_a_sample(small_model):
    ours, theirs = Latents(small_model, 7, (32, 32))(), small_model.latent_noise(7, (32, 32))
    assert all(map(torch.equal, ours, theirs))


def test_rows_are_those_of_all_latents_and_of_the_next_ones_where_these_count(small_model):
    size = (64, 48)
    whole, rows = Latents(small_model, 42, size), Latents(small_model, 42, size)
    held = LatentRows(rows, size[0])
    cells = torch.zeros(4, 3, dtype=torch.bool)
    cells[1, 2] = cells[3, 0] = True
    expected = whole()
    for exchanged in (False, True):
        if exchanged:
            held.exchange(cells)
            for z, fresh in zip(expected, whole(), strict=True):
                side = 16 * z.shape[-1] // size[1]
                for row, column in cells.nonzero().tolist():
                    place = [slice(at * side, (at + 1) * side) for at in (row, column)]
                    z[:, place[0], place[1]] = fresh[:, place[0], place[1]]
        for first, last in ((0, 64), (16, 48), (48, 64)):
            for z, part in zip(expected, held.rows(first, last), strict=True):
                times = size[0] // z.shape[-2]
                assert torch.equal(part, z[:, first // times : last // times])
    for z, after in zip(whole(), rows(), strict=True):  # the generator stands behind all of it
        assert torch.equal(z, after)
