"""The fill of holes: what it continues, how near the solution it is, and that it repeats."""

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.flows.fill import harmonic_fill


def holes(height: int, width: int) -> dict[str, torch.Tensor]:
    """Holes of many forms, bool (1, 1, H, W)."""
    found = {name: torch.zeros(1, 1, height, width, dtype=torch.bool) for name in NAMES}
    found["middle"][..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    found["scratch"][..., 2:-2, width // 3 : width // 3 + 2] = True
    found["dots"][..., 1:-1:3, 2:-1:5] = True
    found["corner"][..., : height // 2, : width // 3] = True
    found["all but a pixel"][:] = True
    found["all but a pixel"][..., 3, 5] = False
    return found


NAMES = ("middle", "scratch", "dots", "corner", "all but a pixel")
SIZES = [(24, 40), (17, 9)]


def solved(photo: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """The solution of the equations, by a dense solver: of (C, H, W) and (H, W)."""
    height, width = hole.shape
    places = [tuple(place) for place in hole.nonzero().tolist()]
    number = {place: k for k, place in enumerate(places)}
    matrix = np.zeros((len(places), len(places)))
    right = np.zeros((len(places), len(photo)))
    for k, (y, x) in enumerate(places):
        for neighbor in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= neighbor[0] < height and 0 <= neighbor[1] < width):
                continue
            matrix[k, k] += 1
            if neighbor in number:
                matrix[k, number[neighbor]] -= 1
            else:
                right[k] += photo[:, neighbor[0], neighbor[1]].numpy()
    result = photo.clone()
    result[:, hole] = torch.from_numpy(np.linalg.solve(matrix, right).T)
    return result


def photo(height: int, width: int, batch: int = 1, seed: int = 3) -> torch.Tensor:
    return helpers.smooth_image(batch, 3, (height, width), seed).double() + 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_near_the_solution_and_known_pixels_stay(size, name):
    image, hole = photo(*size), holes(*size)[name]
    found = harmonic_fill(image, hole)
    assert torch.equal(torch.where(hole, 0, found), torch.where(hole, 0, image))
    wanted = solved(image[0], hole[0, 0])
    assert float((found[0] - wanted).abs().max()) < (1.5 if name == "corner" else 0.5)
    # Which the gray that a hole is marked with is not.
    assert name == "dots" or float((wanted - 128).abs().max()) > 5


def test_a_image_without_a_known_pixel_is_gray():
    hole = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    assert (harmonic_fill(torch.rand(2, 3, 16, 16), hole) == 128).all()


def test_it_does_not_depend_on_the_batch():
    image = photo(32, 32, batch=5)
    hole = torch.cat([holes(32, 32)[name] for name in NAMES])
    together = harmonic_fill(image, hole)
    for row in range(5):
        alone = harmonic_fill(image[row, None], hole[row, None])
        assert torch.equal(alone[0], together[row])
