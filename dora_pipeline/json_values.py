"""JSON that others wrote, read strictly: what is no JSON to other programs is none here either.

What does not belong here: what the values mean.
"""

import json
from collections.abc import Callable
from typing import Any


class TooDeep(ValueError):
    """JSON that is nested more deeply than it can be read."""


def _no_number(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON")


def json_reader(
    *,
    whole: Callable[[str], object] | None = None,
    fraction: Callable[[str], object] | None = None,
    pairs: Callable[[list[tuple[str, Any]]], object] | None = None,
    constant: Callable[[str], object] = _no_number,
) -> Callable[[str | bytes], Any]:
    """A function that gives the value of a text, or of its bytes in any Unicode encoding that JSON may have.

    It raises ValueError for what is no JSON, NaN and infinities among it, and TooDeep for what Python cannot read.
    `whole` and `fraction` make numbers of their digits, `pairs` makes an object of its names and values, and `constant`
    takes NaN and infinities; each may raise ValueError.
    """
    decoder = json.JSONDecoder(parse_int=whole, parse_float=fraction, object_pairs_hook=pairs, parse_constant=constant)

    def value(text: str | bytes) -> Any:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        try:
            return decoder.decode(text)
        except RecursionError:
            raise TooDeep("nested too deeply") from None

    return value


json_value = json_reader()
# NaN and infinities are numbers to it: in what a vendor sends they spoil the record that holds them, and no other.
lax_json_value = json_reader(constant=float)


def is_deeper(text: str, value: object, levels: int) -> bool:
    """Whether the value of a text has objects and lists in each other on more than so many levels."""
    if text.count("{") + text.count("[") <= levels:
        return False
    level = [value]
    for _ in range(levels + 1):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return False
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
    return True
