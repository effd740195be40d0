"""A forecast of what a job will take, said before it starts, made sharp in its first seconds, and judged at its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

MEASURE_SECONDS = 5.0
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Workload:
    """An amount of work and the bytes it moves; `steps` are optimizer steps. What is 0 is unknown or not there."""

    name: str
    amount: int
    unit: str
    steps: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


class Forecast:
    """How long a workload takes at a rate (units per second) that is given, or measured in its first seconds.

    `done` counts the units that were there before it started, as after a restart.
    """

    def __init__(
        self, work: Workload, rate: float = 0.0, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.work, self.rate, self._clock = work, rate, clock
        self._is_given = rate > 0
        self._begun = done
        self._started: float | None = None
        self._expected: float | None = None

    def announce(self) -> str:
        """Say what lies ahead."""
        work = self.work
        steps = f" in {work.steps:,} steps" if work.steps else ""
        bytes_moved = {"reads": work.bytes_read, "writes": work.bytes_written}
        moved = "".join(f"; {verb} about {format_bytes(count)}" for verb, count in bytes_moved.items() if count)
        left = work.amount - self._begun
        if self._is_given:
            when = f"about {format_seconds(left / self.rate)} at the given {self.rate:,.4g} {work.unit}/s"
        else:
            when = f"how long is known {MEASURE_SECONDS:.0f} seconds after it has started"
        rest = f", {left:,} of them left" if self._begun else ""
        return f"{work.name}: {work.amount:,} {work.unit}{steps}{rest}{moved}; {when}"

    def advance(self, done: int) -> str:
        """Take note of the units done in all; return the forecast when it has just been measured, else nothing.

        The clock starts at the first call, so that start-up is no part of the rate.
        """
        now = self._clock()
        if self._started is None:
            self._started, self._begun = now, done
            self._expected = (self.work.amount - done) / self.rate if self._is_given else None
            return ""
        seconds = now - self._started
        if self._expected is not None or seconds < MEASURE_SECONDS or done <= self._begun:
            return ""
        self.rate = (done - self._begun) / seconds
        self._expected = (self.work.amount - self._begun) / self.rate
        left = (self.work.amount - done) / self.rate
        return (
            f"{self.work.name}: {self.rate:,.4g} {self.work.unit}/s in the first {seconds:.0f} s;"
            f" about {format_seconds(left)} to go"
        )

    def verdict(self) -> str:
        """Say how long it took beside the forecast, after the last unit."""
        if self._started is None:
            return f"{self.work.name}: nothing was left to do"
        seconds = self._clock() - self._started
        if self._expected is None:
            return f"{self.work.name}: took {format_seconds(seconds)}, over before a forecast was made"
        off = 100 * (seconds / self._expected - 1) if self._expected else 0.0
        how = "given" if self._is_given else "measured"
        return (
            f"{self.work.name}: took {format_seconds(seconds)}, forecast {format_seconds(self._expected)}"
            f" at the {how} rate ({off:+.0f} %)"
        )


def format_seconds(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_bytes(count: float) -> str:
    """Write a number of bytes with three digits and a decimal unit."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"
