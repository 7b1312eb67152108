"""Time that passes only when someone sleeps, or at each look at the clock."""


class Clock:
    """A clock and its `sleep`; every look at it takes `seconds_a_look`."""

    def __init__(self, seconds_a_look: float = 0.0) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._seconds_a_look = seconds_a_look

    def __call__(self) -> float:
        """Seconds since the beginning."""
        self.now += self._seconds_a_look
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds
