"""Renders `assets/examples/room_64.png`: a bedroom, by tracing rays through boxes and ellipsoids.

python -m tests.examples.draw_room room_64.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

_Array = npt.NDArray[np.float64]

SIDE = 64
_FAR = 1e9
_SKY = np.array([1.0, 0.97, 0.9]) * 9.0
# The window: a rectangle in the left wall, x = 0, which the light comes through.
_WINDOW_LOW, _WINDOW_HIGH = np.array([0.0, 0.9, 1.2]), np.array([0.0, 2.2, 2.6])


@dataclass(frozen=True)
class Solid:
    """A box between two corners or the ellipsoid that fills it; metres, y is up."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    colour: tuple[float, float, float]
    shape: str = "box"
    texture: str = ""
    glow: float = 0.0


ROOM = Solid((0, 0, 0), (4.2, 2.6, 4.6), (0.82, 0.72, 0.52), texture="room")
SOLIDS = (
    Solid((1.35, 0.0, 0.05), (3.35, 1.15, 0.17), (0.33, 0.17, 0.09)),  # headboard
    Solid((1.4, 0.0, 0.1), (3.3, 0.3, 2.5), (0.30, 0.16, 0.09)),  # frame
    Solid((1.42, 0.3, 0.17), (3.28, 0.52, 2.46), (0.86, 0.84, 0.80)),  # mattress
    Solid((1.38, 0.2, 0.95), (3.32, 0.58, 2.52), (0.16, 0.27, 0.52), texture="stripes"),  # blanket
    Solid((1.5, 0.48, 0.2), (2.3, 0.82, 0.75), (0.88, 0.86, 0.82), "ellipsoid"),  # pillows
    Solid((2.4, 0.48, 0.2), (3.2, 0.82, 0.75), (0.88, 0.86, 0.82), "ellipsoid"),
    Solid((1.95, 0.52, 0.55), (2.75, 0.86, 0.9), (0.72, 0.22, 0.16), "ellipsoid"),  # cushion
    Solid((3.5, 0.0, 0.05), (4.05, 0.55, 0.5), (0.36, 0.20, 0.11)),  # nightstand
    Solid((3.74, 0.55, 0.25), (3.82, 0.85, 0.33), (0.55, 0.45, 0.25)),  # lamp
    Solid((3.58, 0.8, 0.08), (3.98, 1.12, 0.48), (1.0, 0.78, 0.45), glow=1.6),  # its shade
    Solid((1.8, 1.45, 0.0), (2.9, 2.1, 0.03), (0.20, 0.13, 0.08)),  # picture frame
    Solid((1.87, 1.52, 0.0), (2.83, 2.03, 0.035), (0.35, 0.45, 0.35), texture="landscape"),
    Solid((0.0, 0.25, 0.85), (0.1, 2.35, 1.2), (0.62, 0.25, 0.18)),  # curtains
    Solid((0.0, 0.25, 2.6), (0.1, 2.35, 2.95), (0.62, 0.25, 0.18)),
    Solid((0.0, 1.5, 1.2), (0.05, 1.56, 2.6), (0.85, 0.83, 0.80)),  # bars of the window
    Solid((0.0, 0.9, 1.87), (0.05, 2.2, 1.93), (0.85, 0.83, 0.80)),
    Solid((0.5, 0.0, 2.0), (2.2, 0.012, 3.6), (0.62, 0.52, 0.36), texture="rug"),
    Solid((0.15, 0.0, 0.1), (0.9, 0.85, 0.6), (0.50, 0.32, 0.17)),  # chest
    Solid((0.35, 0.85, 0.2), (0.65, 1.35, 0.5), (0.15, 0.36, 0.14), "ellipsoid"),  # plant
)


def _slabs(solid: Solid, origin: _Array, ray: _Array) -> tuple[_Array, _Array]:
    """Where rays enter and leave the box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (np.array(solid.low) - origin) / ray
        b = (np.array(solid.high) - origin) / ray
    return np.nanmax(np.minimum(a, b), 1), np.nanmin(np.maximum(a, b), 1)


def _hit(solid: Solid, origin: _Array, ray: _Array) -> _Array:
    """The distance at which rays meet a solid from outside; far, where they miss it."""
    if solid.shape == "ellipsoid":
        low, high = np.array(solid.low), np.array(solid.high)
        o, d = (origin - (low + high) / 2) / ((high - low) / 2), ray / ((high - low) / 2)
        a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - 1
        root = b * b - a * c
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        return np.where((root > 0) & (t > 1e-4), t, _FAR)
    enter, leave = _slabs(solid, origin, ray)
    return np.where((enter < leave) & (enter > 1e-4), enter, _FAR)


def _normal(solid: Solid, point: _Array, inside: bool = False) -> _Array:
    low, high = np.array(solid.low), np.array(solid.high)
    p = (point - (low + high) / 2) / ((high - low) / 2)
    if solid.shape == "ellipsoid":
        n = p / ((high - low) / 2)
        unit: _Array = n / np.linalg.norm(n, axis=1, keepdims=True)
        return unit
    axis = np.abs(p).argmax(1)
    n = np.zeros_like(p)
    n[np.arange(len(p)), axis] = np.sign(p[np.arange(len(p)), axis]) * (-1 if inside else 1)
    return n


def _colour(solid: Solid, point: _Array, normal: _Array) -> _Array:
    """Reflectance at points of a solid."""
    x, y, z = point.T
    colour = np.tile(np.array(solid.colour), (len(point), 1))
    if solid.texture == "room":
        planks = 0.75 + 0.25 * np.sin(np.floor(x / 0.16) * 12.9898 + np.floor(z / 1.3) * 78.233)
        floor = np.array([0.42, 0.24, 0.12]) * planks[:, None]
        colour = np.where((normal[:, 1] > 0.5)[:, None], floor, colour)
        colour = np.where((normal[:, 1] < -0.5)[:, None], np.array([0.85, 0.84, 0.82]), colour)
        colour = np.where((y < 0.09)[:, None] & (normal[:, 1] == 0)[:, None], 0.8, colour)
    elif solid.texture == "stripes":
        pale = (np.mod(z, 0.34) < 0.09)[:, None]
        colour = np.where(pale, np.array([0.70, 0.70, 0.66]), colour)
    elif solid.texture == "landscape":
        hills = 1.72 + 0.07 * np.sin(7 * x) + 0.03 * np.sin(19 * x)
        colour = np.where((y > hills)[:, None], np.array([0.45, 0.60, 0.78]), colour)
    elif solid.texture == "rug":
        edge = (np.minimum(x - 0.5, 2.2 - x) < 0.12) | (np.minimum(z - 2.0, 3.6 - z) < 0.12)
        colour = np.where(edge[:, None], np.array([0.45, 0.12, 0.10]), colour)
    return colour


def _nearest(origin: _Array, ray: _Array) -> tuple[_Array, npt.NDArray[np.int64]]:
    """Distance and number of the solid that rays meet first; number -1 is the room itself."""
    best, which = _slabs(ROOM, origin, ray)[1], np.full(len(ray), -1)
    for i, solid in enumerate(SOLIDS):
        t = _hit(solid, origin, ray)
        which = np.where(t < best, i, which)
        best = np.minimum(best, t)
    return best, which


def _surface(origin: _Array, ray: _Array) -> tuple[_Array, _Array, _Array, _Array]:
    """Point, normal, reflectance and own light of what rays meet."""
    distance, which = _nearest(origin, ray)
    point = origin + ray * distance[:, None]
    normal, colour, light = np.zeros_like(point), np.zeros_like(point), np.zeros_like(point)
    for i in range(-1, len(SOLIDS)):
        at = which == i
        if not at.any():
            continue
        solid = ROOM if i < 0 else SOLIDS[i]
        normal[at] = _normal(solid, point[at], inside=i < 0)
        colour[at] = _colour(solid, point[at], normal[at])
        light[at] = solid.glow * np.array(solid.colour)
        if i < 0:
            pane = (point[:, 0] < 1e-6) & at
            pane &= ((point > _WINDOW_LOW - 1e-6) & (point < _WINDOW_HIGH + 1e-6))[:, 1:].all(1)
            light[pane], colour[pane] = _SKY, 0.0
    return point + 1e-4 * normal, normal, colour, light


def _from_window(point: _Array, normal: _Array, random: np.random.Generator) -> _Array:
    """Light that reaches points from one random spot of the window each."""
    to = _WINDOW_LOW + random.random(point.shape) * (_WINDOW_HIGH - _WINDOW_LOW) - point
    distance = np.linalg.norm(to, axis=1)
    to = to / distance[:, None]
    area = np.prod((_WINDOW_HIGH - _WINDOW_LOW)[1:])
    cosines = np.maximum((normal * to).sum(1), 0) * np.maximum(-to[:, 0], 0)
    clear = np.ones(len(point), np.bool_)
    for solid in SOLIDS:
        clear &= _hit(solid, point, to) > distance - 1e-3
    light: _Array = _SKY * (clear * cosines * area / (np.pi * distance**2))[:, None]
    return light


def _bounce(normal: _Array, random: np.random.Generator) -> _Array:
    """Directions about normals, with the cosine's density."""
    around = random.normal(size=normal.shape)
    ray = normal + around / np.linalg.norm(around, axis=1, keepdims=True)
    unit: _Array = ray / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-9)
    return unit


def draw_room(samples: int = 400, seed: int = 0) -> Image.Image:
    """The bedroom, 64×64 RGB: light of window and lamp, and of one reflection of it."""
    random = np.random.default_rng(seed)
    eye, at = np.array([2.0, 1.65, 4.5]), np.array([2.15, 0.85, 0.6])
    ahead = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    total = np.zeros((SIDE * SIDE, 3))
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="xy"), -1).reshape(-1, 2)
    for _ in range(samples):
        x, y = ((grid + random.random(grid.shape)) / SIDE * 2 - 1).T * 0.62
        ray = ahead + x[:, None] * right - y[:, None] * up
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        point, normal, colour, light = _surface(np.tile(eye, (len(ray), 1)), ray)
        total += np.minimum(light, 2)
        total += colour * np.minimum(_from_window(point, normal, random), 4)
        second, turned, tint, glow = _surface(point, _bounce(normal, random))
        glow = np.where((glow > 4).any(1)[:, None], 0, glow)  # the window is counted already
        indirect = glow + tint * (_from_window(second, turned, random) + 0.22)
        total += colour * np.minimum(indirect, 1.5)  # rare bright paths would stay as specks
    exposed = 1 - np.exp(-1.9 * total / samples)
    pixels = (255 * np.clip(exposed, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)
    return Image.fromarray(pixels.reshape(SIDE, SIDE, 3))


if __name__ == "__main__":
    draw_room().save(sys.argv[1])
