"""A clock for tests."""


class Clock:
    """A clock that stands still until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
