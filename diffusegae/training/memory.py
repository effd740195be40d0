"""How many pieces a batch is cut into: the fewest that a GPU's memory holds."""

from collections.abc import Callable

import torch

HEADROOM = 0.92  # of the memory; the rest is left to fragmentation and to the driver


def fewest_pieces(samples: int, fits: Callable[[int], bool]) -> int:
    """Return the least power of two of pieces that fits, at most one per sample; 0 if not even single samples fit."""
    pieces = 1
    while not fits(pieces):
        if pieces >= samples:
            return 0
        pieces = min(2 * pieces, samples)
    return pieces


def fits_memory(work: Callable[[], None], reserve: int, device: torch.device) -> bool:
    """Tell whether some work fits a GPU's memory beside `reserve` bytes that are not allocated yet, by doing it."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    try:
        work()
    except torch.OutOfMemoryError:
        return False
    total = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.max_memory_allocated(device) + reserve <= HEADROOM * total
