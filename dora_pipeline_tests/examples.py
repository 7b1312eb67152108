"""How long a test looks for what breaks a rule: few examples each time, `DORA_TEST_EXAMPLES` times as many at night."""

import os

TIMES = int(os.environ.get("DORA_TEST_EXAMPLES", "1"))


def examples(few: int) -> int:
    """How many examples a test tries that by itself tries a few."""
    return few * TIMES
