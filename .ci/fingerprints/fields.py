"""Measured fields: files of each format, Python, evaluation and training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xarray

from .running import Part

PLACE: list[tuple[int, int, int, Any]] = [  # degrees, as in `example:rain`
    (33550, 12, 3, (0.04, 0.04, 0.0)),
    (33922, 12, 6, (0.0, 0.0, 0.0, -83.92, 29.4, 0.0)),
    (34735, 3, 12, (1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326)),
]

PYTHON = """
import hashlib
import json
import numpy as np
import xarray
import caflow_cli as caflow
from caflow_cli.fields import read_field

def mark(value):
    array = np.ascontiguousarray(np.asarray(value))
    seen = hashlib.sha256(array.tobytes()).hexdigest()[:20]
    return [seen, list(array.shape), str(array.dtype), float(np.nanmean(array, dtype=float))]

found = {}
model = caflow.load("rain-superres-x4")
coarse = np.load("rain.npy")
result = caflow.restore(model, coarse, candidates=3, seed=5, tau=0.9)
found["restore"] = mark(result.values)
placed = result.to_xarray()
found["xarray"] = [mark(placed), list(placed.dims), mark(placed["member"]), placed.units]
found["saved"] = [str(path) for path in [result.save("saved.tif")]]
found["means"] = float(np.abs(
    result.values.reshape(3, 12, 4, 16, 4).mean((2, 4), dtype=float) - coarse).max())
score = caflow.score(model, coarse, result.values[0])
found["score"] = [score.log_likelihood, score.wet, score.dry]
lazy = xarray.load_dataset("rain.nc", decode_coords="all")["rain"]
result = caflow.restore(model, lazy, candidates=2, seed=1)
placed = result.to_xarray()
found["placed"] = [mark(placed), {name: mark(placed[name]) for name in ("y", "x")}]
score = caflow.score(model, lazy, placed[1], noise_samples=2)
found["noise samples"] = [score.log_likelihood, score.standard_error, score.wet, score.dry]
result = caflow.restore(model, read_field("holes.tif", nodata=float("nan")), candidates=2)
found["holes"] = mark(result.values)
for name, wrong in (("three dimensions", coarse[None, None]), ("negative", coarse - 1)):
    try:
        caflow.restore(model, wrong)
    except caflow.CaflowError as error:
        found[name] = error.exit_code
print(json.dumps(found))
"""


def rain(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth showers in mm/h, in steps of 0.1; about half of it is dry."""
    rng = np.random.default_rng(seed)
    level = np.kron(rng.normal(0, 9, (-(-height // 4), -(-width // 4))), np.ones((4, 4)))
    level = level[:height, :width] + rng.normal(0, 2, (height, width))
    values = np.where(level < 0, 0, 0.1 * 10 ** (level.clip(0, 25) / 10))
    return (np.rint(10 * values) / 10).astype(np.float32)


def _geotiff(path: Path, values: np.ndarray, **stated: Any) -> None:
    """Write a GeoTIFF; `stated` is what GDAL states: scale, offset, unit, nodata."""
    nodata = stated.pop("nodata", None)
    items = "".join(
        f'<Item name="{key.upper()}" sample="0" role="{key}">{value}</Item>'
        for key, value in stated.items()
    ).replace('role="unit"', 'role="unittype"')
    tags = [*PLACE, (42112, 2, 0, f"<GDALMetadata>{items}</GDALMetadata>")]
    if nodata is not None:
        tags.append((42113, 2, 0, str(nodata)))
    tags = [(*tag, True) for tag in tags]
    tifffile.imwrite(path, values, compression="zlib", extratags=tags, metadata=None)


def _netcdf(path: Path, values: np.ndarray, **encoding: Any) -> None:
    height, width = values.shape
    coords = {"y": 1000.0 * np.arange(height)[::-1], "x": 500.0 + 1000 * np.arange(width)}
    attrs = {"units": "mm h-1", "long_name": "rain rate"}
    data = xarray.DataArray(
        values[None], {"time": [7], **coords}, ("time", "y", "x"), "rain", attrs
    )
    data.to_netcdf(path, engine="h5netcdf", encoding={"rain": encoding})


def fields(p: Part) -> None:
    """The bundled model of rain: files, scores, evaluation; and three steps of another."""
    run = p.caflow
    values = rain(80, 12, 16)
    holes = values.copy()
    holes[2:4, 5:9] = np.nan
    _geotiff(p.folder / "rain.tif", values, unit="mm/h")
    _geotiff(p.folder / "holes.tif", holes, unit="mm/h")
    _geotiff(p.folder / "nodata.tif", np.nan_to_num(holes, nan=-1), unit="mm/h", nodata=-1)
    packed = np.where(np.isnan(holes), 65535, np.rint(10 * holes)).astype(np.uint16)
    _geotiff(p.folder / "packed.tif", packed, unit="mm/h", scale=0.1, offset=0, nodata=65535)
    stated = {"unit": "mm/h", "step": 0.1, "in": "linear"}
    tifffile.imwrite(p.folder / "stated.tif", values, description=json.dumps(stated))
    _netcdf(p.folder / "rain.nc", values)
    _netcdf(p.folder / "holes.nc", holes, _FillValue=np.float32(-9))
    packing = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -9}
    _netcdf(p.folder / "packed.nc", holes, **packing)
    np.save(p.folder / "rain.npy", values)
    np.save(p.folder / "holes.npy", holes)
    np.save(p.folder / "large.npy", 100 * values)

    run("example", "superres example:rain -m 3 -o a/ --json")
    run("some", "superres rain.tif -m 4 -n 2 --seed 3 --tau 0.8 -o b/ --json")
    run("stated", "superres stated.tif -m 2 -o d/ --json")
    run("plain", "superres rain.tif -m 1 --no-provenance -o e.tif")
    model = "--model rain-superres-x4"
    run("netcdf", "superres rain.nc -m 3 -o f/ --json")
    run("npy", f"superres rain.npy {model} -m 3 -o g/ --json")
    run("to npy", "superres rain.tif -m 2 --format npy -o h/ --json")
    for name in ("holes.tif", "nodata.tif", "packed.tif", "holes.nc", "packed.nc", "holes.npy"):
        nodata = {"nodata.tif": "-1", "packed.tif": "65535"}.get(name, "nan")
        words = f"{name} {model} -m 2"
        run(name, f"superres {words} --nodata={nodata} -o j/ --json")
    for name in ("nodata.tif", "holes.nc"):
        run(f"refused {name}", f"superres {name} -m 2 -o i/ --json")
    run("sheets", "superres rain.tif -m 3 --grid g.png --uncertainty u.png -o l.tif --json")
    run("sample", f"sample --cond rain.tif {model} -m 2 -o m.tif --json")
    (p.folder / "many").mkdir()
    for name in ("rain.tif", "rain.nc", "stated.tif"):
        (p.folder / "many" / f"{len(name)}{name}").write_bytes((p.folder / name).read_bytes())
    run("folder", f"superres many/ {model} -m 2 -o n/ --json")
    run("dry run", "superres rain.tif -m 2 -o o/ --dry-run --json")
    for option in (
        "--scale 2",
        "--consistent",
        "--rank likelihood",
        "--interval i.png",
        "-o a.png",
    ):
        run(f"with {option}", f"superres rain.tif -m 2 {option} --overwrite --json")
    run("too large", f"superres large.npy {model} -m 1 -o p/ --json")

    run("score", "score --cond rain.tif --target b/rain_superres.tif --json")
    run("score netcdf", "score --cond rain.nc --target f/rain_superres.nc --noise-samples 2 --json")
    run("score npy", f"score --cond rain.npy --target g/rain_superres.npy {model} --json")
    run("score holes", "score --cond nodata.tif --target j/nodata_superres.tif --nodata -1 --json")
    p.python("python", PYTHON)

    for day, count in (("train/may", 4), ("val/june", 2), ("test/july", 3), ("test/august", 2)):
        (p.folder / "days" / day).mkdir(parents=True)
        for k in range(count):
            path = p.folder / "days" / day / f"{k}.npy"
            np.save(path, rain(81 + k + 10 * len(day) + ord(day[-1]), 48, 64))
    run("evaluate", f"evaluate --data days {model} -m 6 --tau 0.8,1 --json")
    run("evaluate part", f"evaluate --data days {model} -m 4 --limit 2 --metric crps,rank --json")
    few = " ".join(
        f"--set {setting}"
        for setting in (
            *("flow.scales=1", "flow.r_steps=1", "flow.t_steps=1", "flow.f_steps=1"),
            *("flow.hidden=8", "flow.f_hidden=8", "flow.guide=8", "flow.guide_blocks=1"),
            *("task.size=32", "optim.batch_size=4", "validate_every=3", "save_every=3"),
        )
    )
    unit = "--unit mm/h --transform db --zero 0.1"
    run("train", f"train --task superres --data days {unit} --out run --images 12 {few} --json")
    run("drawn by it", "superres rain.tif --model run -m 2 -o q/ --json")
