"""A cache of tensors that is bounded by their bytes: what was used longest ago goes first."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable

from jaxtyping import Shaped
from torch import Tensor

AnyTensor = Shaped[Tensor, "..."]


class TensorCache:
    """Keeps tensors by key up to a number of bytes; several threads may use it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.num_bytes = max_bytes, 0
        self.hits = self.misses = 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> AnyTensor | None:
        """Return what was put under a key, None if it never was or has gone."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, value: AnyTensor) -> None:
        """Keep a tensor, and let go of others for it; one larger than the whole cache is not kept."""
        if value.nbytes > self.max_bytes:
            return
        own = value.clone()  # of its own memory: a row of a batch would hold all of it
        with self._lock:
            if key in self._kept:
                self.num_bytes -= self._kept.pop(key).nbytes
            self._kept[key] = own
            self.num_bytes += own.nbytes
            while self.num_bytes > self.max_bytes:
                self.num_bytes -= self._kept.popitem(last=False)[1].nbytes


def content_key(tensor: AnyTensor) -> bytes:
    """Return a hash of a tensor's values."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().data).digest()
