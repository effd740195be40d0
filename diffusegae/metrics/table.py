"""All quantities by their keys, each as the file that measures it defines it."""

from diffusegae.metrics import classifier, disentanglement, distances, edits, features, probe, projection, smoothness
from diffusegae.metrics.quantity import Quantity

MODULES = (distances, features, edits, probe, disentanglement, projection, smoothness, classifier)
QUANTITIES: dict[str, Quantity] = {quantity.key: quantity for module in MODULES for quantity in module.QUANTITIES}


def quantity_of(metric: str) -> Quantity:
    """Return the quantity of a figure by its name, `<measure>/<stratum>/<quantity>[/<detail>…]`."""
    return QUANTITIES[metric.split("/")[2]]
