"""Draws `assets/examples/map.png`: a street map, as the model of maps takes it.

python -m tests.examples.draw_map map.png
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

SIDE, _SCALE = 192, 4

_LAND, _BLOCK = (233, 228, 222), (242, 239, 233)
_STREET, _BUILDING = (255, 255, 255), (228, 221, 208)
_PARK, _WATER, _HIGHWAY, _EDGE = (203, 223, 174), (177, 208, 254), (251, 158, 37), (232, 137, 24)

_Point = tuple[float, float]


def _curve(a: _Point, b: _Point, c: _Point, d: _Point) -> list[_Point]:
    """A cubic curve: start, two controls, end."""
    t = np.linspace(0, 1, 65)[:, None]
    p, q, r, s = (np.array(point) for point in (a, b, c, d))
    path = (1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * q + 3 * (1 - t) * t**2 * r + t**3 * s
    return [(float(x), float(y)) for x, y in path]


def draw_map() -> Image.Image:
    """192×192 RGB: blocks of houses between streets, a park, a river and a highway."""
    large = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE), _LAND)
    pen = ImageDraw.Draw(large)

    def line(path: list[_Point], fill: tuple[int, int, int], width: float) -> None:
        points = [(x * _SCALE, y * _SCALE) for x, y in path]
        pen.line(points, fill, round(width * _SCALE), joint="curve")

    def area(path: list[_Point], fill: tuple[int, int, int]) -> None:
        pen.polygon([(x * _SCALE, y * _SCALE) for x, y in path], fill)

    # The town: a grid that is turned a little, in its own coordinates u, v.
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def place(u: float, v: float) -> _Point:
        x, y = turn @ np.array([u, v])
        return float(x), float(y)

    def box(u: float, v: float, width: float, height: float) -> list[_Point]:
        return [
            place(*p) for p in ((u, v), (u + width, v), (u + width, v + height), (u, v + height))
        ]

    rng = np.random.default_rng(7)
    columns, rows = np.arange(-8, 252, 27.0), np.arange(-60, 232, 47.0)
    for u in columns:
        for v in rows:
            area(box(u + 2, v + 2, 23, 43), _BLOCK)
            for k in range(6):  # two rows of houses, with their gardens between them
                for side in (4.0, 15.5):
                    depth = float(rng.uniform(5, 8))
                    area(box(u + side, v + 4 + 6.7 * k, depth, 5), _BUILDING)
    area(box(73, 34, 54, 47), _PARK)
    for u in columns:
        line([place(u, -80), place(u, 260)], _STREET, 2.6)
    for v in rows:
        line([place(-60, v), place(280, v)], _STREET, 4.2 if v == rows[3] else 3.0)
    area(box(75, 35.5, 50, 43.5), _PARK)  # no street crosses it
    bank = _curve((-5, 104), (50, 108), (80, 160), (150, 200))
    area([*bank, (62, 200), *_curve((62, 200), (40, 160), (10, 140), (-5, 142))], _WATER)
    highway = _curve((120, -5), (135, 70), (190, 90), (197, 150))
    line(highway, _EDGE, 8.5)
    line(highway, _HIGHWAY, 7.5)
    line(_curve((197, 22), (176, 32), (162, 46), (156, 62)), _HIGHWAY, 3.6)
    return large.reduce(_SCALE)


if __name__ == "__main__":
    draw_map().save(sys.argv[1])
