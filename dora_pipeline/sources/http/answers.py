"""The bodies of answers: read within bounds, and searched for what a vendor says is wrong."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from requests import Response

LARGEST_BODY = 64 * 1024 * 1024

_PIECE = 64 * 1024
_WORDS = ("message", "detail", "title", "error", "errors", "error_description")


class BodyTooLarge(Exception):
    """The body is larger than any answer can be."""


def read_body(response: Response, check_time: Callable[[], None]) -> bytes:
    """The decoded body; `check_time` is called at each piece that arrives, and may raise.

    Raises BodyTooLarge above 64 MiB, and urllib3's errors where it is cut or broken.
    """
    body = bytearray()
    # `read1` gives what has arrived; `read` and `iter_content` would wait until a whole piece is there.
    while piece := response.raw.read1(_PIECE, decode_content=True):
        body += piece
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
        check_time()
    return bytes(body)


def parsed(body: bytes) -> Any:
    """The JSON of a body. Raises ValueError where it is none."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_html(body: bytes) -> bool:
    """Whether it is a page for people, as proxies and sign-in walls send."""
    return body.lstrip()[:1] == b"<"


def complaint(body: bytes) -> tuple[str, int | None]:
    """What the vendor says is wrong, and its code: `error` or `errors` as object, list or text, or neither."""
    try:
        answer = parsed(body)
    except ValueError:
        text = "an HTML page" if is_html(body) else body.decode("utf-8", "replace")
        return text.strip() or "no reason given", None
    code = _code(answer)
    texts = list(dict.fromkeys(_texts(answer)))
    return "; ".join(texts) or "no reason given", code


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value[:10]:
            yield from _texts(item)
    elif isinstance(value, dict):
        for word in _WORDS:
            yield from _texts(value.get(word))


def _code(answer: Any) -> int | None:
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int else None
