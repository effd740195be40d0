"""Retries: exponential back-off with full jitter, bounded in number and time.

Everything but the submission of a job is a pure function of its content and seed, so it can be sent again whatever
became of it. A job is only submitted again when it surely was not taken: no connection came about, or the service
refused the caller before it looked at the request.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import (
    BrokenConnectionError,
    ClientError,
    ServiceError,
    TimedOutError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
)

Retryable = tuple[type[ClientError], ...]
RETRYABLE: Retryable = (UnreachableError, BrokenConnectionError, TooManyRequestsError, UnavailableError)
NOT_ACCEPTED: Retryable = (UnreachableError, TooManyRequestsError)
RESUMABLE: Retryable = (*RETRYABLE, TimedOutError)  # work that goes on without us is only looked at again


@dataclass(frozen=True)
class Retries:
    """The policy: the n-th pause is drawn evenly from 0 to min(longest, first * 2^(n-1)) seconds.

    A service that sends Retry-After is given that long, and the drawn pause on top: callers that were refused together
    do not come back together.
    """

    attempts: int = 4  # the first one included; 1 never retries
    first: float = 0.5
    longest: float = 8.0
    deadline: float = 180.0  # seconds from the call to its result or its error; nothing is started beyond it
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Reject what is no policy; ValueError."""
        if self.attempts < 1:
            raise ValueError(f"attempts={self.attempts}; at least 1 is needed, and 1 never retries")
        for name in ("first", "longest", "deadline"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}; expected seconds above 0")

    def begin(self, retryable: Retryable = RETRYABLE) -> "Attempts":
        """Return the attempts of a call that begins now; it is tried again after `retryable` errors."""
        return Attempts(self, retryable)


class Attempts:
    """The attempts of one call that are left under a policy."""

    def __init__(self, policy: Retries, retryable: Retryable) -> None:
        self._policy, self._retryable = policy, retryable
        self.renew()

    def renew(self) -> None:
        """Start over, since the call came further than before."""
        self._failures = 0
        self._end = self._policy.clock() + self._policy.deadline

    @property
    def seconds_left(self) -> float:
        """Time until the deadline, never negative."""
        return max(0.0, self._end - self._policy.clock())

    def pause(self, error: ClientError) -> float:
        """Return how many seconds to wait before the next attempt; raise the error itself when there is none."""
        self._failures += 1
        if error.is_final or not isinstance(error, self._retryable) or self._failures >= self._policy.attempts:
            raise error
        seconds = self._policy.draw() * min(self._policy.longest, self._policy.first * 2.0 ** (self._failures - 1))
        if isinstance(error, ServiceError):
            seconds += error.retry_after or 0.0
        if seconds >= self.seconds_left:
            raise error
        return seconds
