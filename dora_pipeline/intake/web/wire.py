"""JSON as it comes over the wire: read strictly and within limits, every mistake named.

What does not belong here: HTTP, and what the fields of a body mean.
"""

import json
import math
import re
from collections.abc import Iterable

from dora_pipeline.json_values import TooDeep, json_reader

LARGEST_BODY = 1024 * 1024
DEEPEST = 32
MOST_VALUES = 1_000
LONGEST_TEXT = 10_000
_LONGEST_NUMBER = 40
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class WireError(ValueError):
    """A body that cannot be used; `mistakes` says what is wrong and where, a text each, without credentials."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("; ".join(self.mistakes))


def json_object(body: bytes) -> dict[str, object]:
    """The object that a body in UTF-8 holds.

    Half surrogate pairs, which clients make by cutting text within an emoji, become U+FFFD as they do at Datadog.
    Raises WireError for all else that is no JSON, for equal keys, and beyond the limits of this module.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WireError([f"the body is not UTF-8 text (byte {error.start})"]) from None
    value = _decoded(text)
    if not isinstance(value, dict):
        raise WireError(['the body must be a JSON object such as {"data": {"attributes": {}}}'])
    if _may_pass_limits(text):
        _check_limits(value)
    if _HALF_PAIR.search(text):
        whole = (
            json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        )
        value = json.loads(whole)
    return value


def _decoded(text: str) -> object:
    if not text.strip():
        raise WireError(["the body is empty; send a JSON object"])
    try:
        return _READ(text)
    except json.JSONDecodeError as error:
        raise WireError([f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"]) from None
    except TooDeep:
        raise WireError([_too_deep()]) from None
    except ValueError as error:
        raise WireError([f"the body is not JSON: {error}"]) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"the key {_shown(name)} stands twice in an object")
            names.add(name)
    return fields


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number has more than {_LONGEST_NUMBER} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


_READ = json_reader(pairs=_object, whole=_whole, fraction=_fraction)


def _may_pass_limits(text: str) -> bool:
    """Whether the value of a text may be beyond a limit: none of an ordinary body is, which its characters tell."""
    return (
        len(text) > LONGEST_TEXT
        or "\\u0000" in text
        or text.count("{") + text.count("[") >= DEEPEST
        # One of these stands before each value but the outermost.
        or text.count(",") + text.count(":") + text.count("[") >= MOST_VALUES
    )


def _check_limits(value: object) -> None:
    count = 0
    rest: list[tuple[object, int]] = [(value, 1)]
    while rest:
        value, depth = rest.pop()
        count += 1
        if depth > DEEPEST:
            raise WireError([_too_deep()])
        if count > MOST_VALUES:
            raise WireError([f"the body holds more than {MOST_VALUES:,} values"])
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            for name in value:
                _check_text(name)
            rest.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list):
            rest.extend((inner, depth + 1) for inner in value)


def _check_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise WireError([f"the text {_shown(text)} is longer than {LONGEST_TEXT:,} characters"])
    if "\0" in text:
        raise WireError([f"the text {_shown(text)} holds a NUL character"])


def _too_deep() -> str:
    return f"the body is nested more than {DEEPEST} levels deep"


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 40 else f"{text[:40]}…")
