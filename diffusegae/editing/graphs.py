"""CUDA graphs: a call's kernels recorded once and launched as one, which spares a GPU the wait for their launches."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusegae.editing.buckets import Recording
from diffusegae.editing.cudnn import MEASURED_KERNELS, NO_TF32

WARM_UP_CALLS = 3  # cuDNN chooses its kernels, and libraries make their workspaces, outside of the recording


class GraphRecorder:
    """Records calls on a GPU as graphs that share memory, so that they must be replayed one after another.

    Other threads may use the GPU meanwhile: allocations and waits of theirs neither enter nor break a recording.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, call: Callable[[], Tensor]) -> Recording:
        """Return the recording of a call, which must launch the same kernels every time."""
        with torch.cuda.device(self.device), NO_TF32.held(), MEASURED_KERNELS.held():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_CALLS):
                    call()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, self._pool, stream, capture_error_mode="thread_local"):
                output = call()
        return Recording(graph.replay, output)
