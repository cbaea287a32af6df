"""Units, as files spell them."""

from __future__ import annotations

import re

_HOUR = re.compile(r"\b(hr|hour)s?\b")
_FACTOR = re.compile(r"([^\W\d]+|%)(?:\^|\*\*)?([-+−]?\d+)?")


def same_unit(one: str, other: str) -> bool:
    """Whether two texts spell the same unit, such as `mm/h`, `mm h-1` and `mm per hour`.

    Nothing is converted: `kg m-2 s-1` is another unit.
    """
    return one == other or _powers(one) == _powers(other)


def _powers(unit: str) -> dict[str, int]:
    """The power of each factor; a text that is no product of powers has itself."""
    text = _HOUR.sub("h", unit.replace(" per ", "/").strip())
    over, *under = text.split("/")
    powers: dict[str, int] = {}
    for sign, part in ((1, over), *((-1, part) for part in under)):
        rest = _FACTOR.sub("", part).strip(" .·*()1")
        if rest:
            return {unit: 1}
        for name, power in _FACTOR.findall(part):
            powers[name] = powers.get(name, 0) + sign * int((power or "1").replace("−", "-"))
    return {name: power for name, power in powers.items() if power}
