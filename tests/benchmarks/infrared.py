"""What `--mask ir` finds in simulated scans: python tests/benchmarks/infrared.py PHOTOGRAPHS

PHOTOGRAPHS is a folder. Each is scanned as by `film_scans`, whose figures of two scanners are
published ones; no real scan with infrared was to be had. Precision, recall and the share of spots
that are found are of dust with an opacity above one half.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))

from film_scans import scanned

from caflow_cli.damage import infrared_mask
from caflow_cli.errors import CaflowError

SCANNERS = {  # transmission of a core of dust, noise of clean film, slopes, softness of dust
    "weak": (0.918, 0.005, (0, 0.03), 1.6),
    "strong, noise 0.04": (0.619, 0.04, (0, 0.12), 0.8),
    "strong, noise 0.06": (0.619, 0.06, (0, 0.12), 0.8),
}


def main(folder: str) -> None:
    photos = sorted(Path(folder).glob("*.png"))[:20]
    for name, (core, noise, slopes, softness) in SCANNERS.items():
        for k in (3, 4, 5):
            counts = np.zeros(6)
            for seed, path in enumerate(photos):
                rng = np.random.default_rng(seed)
                image = np.asarray(Image.open(path).convert("RGB"))
                slope = rng.uniform(*slopes)
                shift = tuple(int(pixels) for pixels in rng.integers(-5, 6, 2))
                given = {"slope": slope, "shift": shift, "softness": softness}
                scan = scanned(image, (core, noise), rng, spots=60, **given)
                mask = infrared_mask(scan.rgb, scan.infrared, k) > 0
                near = ndimage.binary_dilation(scan.dust > 0.05, iterations=3)
                cores = scan.dust > 0.5
                spots, count = ndimage.label(cores)
                found = mask & cores
                counts[:3] += (mask & near).sum(), found.sum(), np.unique(spots[found]).size
                counts[3:] += mask.sum(), cores.sum(), count
            precision, recall, of_spots = counts[:3] / counts[3:]
            print(f"{name}, k {k}: {precision:.3f}, {recall:.3f}, spots {of_spots:.3f}")
    for slope in (0, 0.06, 0.12, 0.35, 0.8):
        refused = 0
        for seed, path in enumerate(photos):
            image = np.asarray(Image.open(path).convert("RGB"))
            scan = scanned(image, (0.619, 0.05), np.random.default_rng(seed), slope=slope)
            try:
                infrared_mask(scan.rgb, scan.infrared)
            except CaflowError:
                refused += 1
        print(f"slope {slope}: {refused} of {len(photos)} refused")


if __name__ == "__main__":
    main(sys.argv[1])
