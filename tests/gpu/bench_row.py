"""A row of the benchmark."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What is measured: its place in the order, how, and the seconds without which it need not begin."""

    name: str
    rank: float
    run: Callable[[], dict[str, float]]
    least_seconds: float = 8.0
