"""When a checkpoint is due by time, on all workers alike: the first worker's clock decides."""

import time
from collections.abc import Callable

LOOKS = 16  # about so often within the time, workers ask the first one; in between, they know that it isn't due

Said = tuple[bool, int]  # whether a checkpoint is due, and after how many steps to ask again


class SaveClock:
    """Tells when so many seconds have gone since the last checkpoint; with 0 seconds, never.

    `tell` hands every worker what the first one says, and is None where there is only one; it is a round trip of all
    workers, so they take it only after as many steps as the first worker's pace makes of a LOOKS-th of the time.
    """

    def __init__(
        self, seconds: float, tell: Callable[[Said], Said] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._tell, self._clock = seconds, tell, clock
        self._saved = self._looked = clock()
        self._last_step: int | None = None
        self._next_step = 0

    def restart(self) -> None:
        """Begin to count anew: a checkpoint was saved, for whatever reason."""
        self._saved = self._clock()

    def is_due(self, step: int, is_busy: bool = False) -> bool:
        """Tell whether to save now; every worker asks after every step, by its count.

        While the first worker is busy, as with storing the checkpoint before, none is due.
        """
        if not self._seconds or step < self._next_step:
            return False
        said = (not is_busy and self._clock() - self._saved >= self._seconds, self._steps_to_wait(step))
        is_due, wait = self._tell(said) if self._tell else said
        self._next_step = step + wait
        return is_due

    def _steps_to_wait(self, step: int) -> int:
        now, before = self._clock(), self._last_step
        pace = (now - self._looked) / (step - before) if before is not None else 0.0  # seconds of a step
        self._looked, self._last_step = now, step
        if not self._tell or not pace:
            return 1
        return max(1, int(self._seconds / LOOKS / pace))
