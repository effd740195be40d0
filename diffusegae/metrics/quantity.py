"""A quantity: what a figure is called, which way it is better, and how it is written.

Every file of metrics/ names the quantities that it defines, and nobody else says which way they are better; `table`
joins them. A figure's name is `<measure>/<stratum>/<quantity>[/<detail>…]`, as `replace/unseen_pair/lpips/pose`.
"""

from dataclasses import dataclass
from typing import Literal

Style = Literal["share", "signed", "error", "length", "count"]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Quantity:
    """A kind of figure; `better` is None of counts and references, which are neither."""

    key: str
    label: str
    better: Direction | None
    style: Style = "share"

    def lead(self, one: float, other: float) -> float:
        """Return by how much one value is better than another; negative where it is worse, 0 without a direction."""
        if self.better is None:
            return 0.0
        return other - one if self.better == "lower" else one - other
