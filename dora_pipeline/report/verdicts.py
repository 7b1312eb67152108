"""Whether a difference between two periods is more than noise.

What happens once in a while differs from period to period by chance alone. Each verdict is one at 95 %: of twenty
comparisons in which nothing changed, one is called more than noise.
"""

import math

# The same as of the intervals of the figures.
_Z = 1.959963984540054
# Below so many events nothing is said, as there is no interval of a median below so many.
_LEAST = 6

TOO_FEW = "too few events to tell"
WITHIN_NOISE = "within noise"
MORE_THAN_NOISE = "more than noise"

Estimate = tuple[float | None, float | None, float | None]


def of_counts(now: int | None, size: float | None, before: int | None, size_before: float | None) -> str:
    """Of two numbers of events, each in so many days, or among so many deployments.

    Where nothing changed, the events fall into the two periods by their sizes (the conditional test of two Poisson
    rates, in the normal approximation).
    """
    if now is None or before is None or not size or not size_before or now + before < _LEAST:
        return TOO_FEW
    events, share = now + before, size / (size + size_before)
    noise = _Z * math.sqrt(events * share * (1 - share))
    return MORE_THAN_NOISE if abs(now - events * share) > noise else WITHIN_NOISE


def of_estimates(now: Estimate, before: Estimate) -> str:
    """Of two shares or two medians, each a value with the ends of its 95 % interval, None where there is none.

    The interval of the difference comes from the two (Newcombe 1998 for shares; Zou and Donner 2008, MOVER, in
    general).
    """
    (value, low, high), (value_before, low_before, high_before) = now, before
    if value is None or low is None or high is None:
        return TOO_FEW
    if value_before is None or low_before is None or high_before is None:
        return TOO_FEW
    difference = value - value_before
    below = math.hypot(value - low, high_before - value_before)
    above = math.hypot(high - value, value_before - low_before)
    return WITHIN_NOISE if difference - below <= 0 <= difference + above else MORE_THAN_NOISE


def of_shares(now: Estimate, number: int | None, before: Estimate, number_before: int | None) -> str:
    """Of two shares, each of so many deployments."""
    if number is None or number_before is None or min(number, number_before) < _LEAST:
        return TOO_FEW
    return of_estimates(now, before)
