"""Secrets taken out of text that came from outside."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from dora_pipeline.identifiers import without_credentials

LONGEST_TEXT = 300


def redaction(secrets: Sequence[str]) -> Callable[[str], str]:
    """A function that gives text of a vendor as one line of at most 300 characters without the secrets."""
    spellings = {spelling for secret in secrets if secret for spelling in (secret, quote(secret, ""))}
    # Hosts come back in lower case.
    planted = re.compile("|".join(map(re.escape, spellings)) or "(?!)", re.IGNORECASE)

    def redacted(text: str) -> str:
        line = "".join(letter if letter.isprintable() else " " for letter in planted.sub("***", text))
        return without_credentials(" ".join(line.split()))[:LONGEST_TEXT]

    return redacted
