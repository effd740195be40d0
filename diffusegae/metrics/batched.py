"""An editor run over any number of images, a batch at a time, with the time left logged."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.method import Codes, Images
from diffusegae.forecast import Forecast, Workload
from diffusegae.images import to_device

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0
LEAST_SHARE = 0.01  # before that much is done, the time left would be a guess


class Progress:
    """Count the denoising steps done, images times steps, against those planned, and log how long the rest takes."""

    def __init__(self, planned: int, rate: float = 0.0, job: str = "evaluate") -> None:
        self.planned, self.done, self.job = planned, 0, job
        self.started = self._logged = time.monotonic()
        self._forecast = Forecast(Workload(job, planned, "denoising steps of an image"), rate)
        logger.info(self._forecast.announce())

    def advance(self, steps: int, what: str) -> None:
        """Count steps that were done; log where it stands, at most every ten seconds."""
        self.done += steps
        if sharper := self._forecast.advance(self.done):
            logger.info(sharper)
        now, share = time.monotonic(), min(1.0, self.done / self.planned)
        if now - self._logged < LOG_SECONDS or share < LEAST_SHARE:
            return
        self._logged = now
        left = (now - self.started) * (1 - share) / share
        logger.info("%s: %s: %.0f %% of all sampling done, %.0f s left", self.job, what, 100 * share, left)

    def finish(self) -> None:
        """Log how far off the forecast was."""
        logger.info(self._forecast.verdict())


@dataclass(frozen=True)
class EncodedImages:
    """Both codes of some images, on the CPU."""

    z_sem: Float[np.ndarray, "n z_sem"]
    z_dis: Float[np.ndarray, "n z_dis"]


class BatchedEditor:
    """A named editor that takes any number of images; inputs and results are on the CPU."""

    def __init__(self, name: str, editor: Editor, batch_size: int, progress: Progress) -> None:
        self.name, self.editor, self.batch_size = name, editor, batch_size
        self._progress = progress

    def with_sampling(self, sampling: SamplingConfig) -> "BatchedEditor":
        """Return the same editor sampling otherwise, counted by the same progress."""
        return BatchedEditor(self.name, self.editor.with_sampling(sampling), self.batch_size, self._progress)

    @torch.no_grad()
    def encode_pixels(self, pixels: UInt8[np.ndarray, "n size size 3"]) -> EncodedImages:
        """Return z_sem and z_dis of stored pictures."""
        model, z_sem, z_dis = self.editor.model, [], []
        for start in range(0, len(pixels), self.batch_size):
            z = self.editor.z_sem(to_device(pixels[start : start + self.batch_size], self.editor.device))
            z_sem.append(z.cpu().numpy())
            z_dis.append(model.disentangle(z).cpu().numpy())
        return EncodedImages(np.concatenate(z_sem), np.concatenate(z_dis))

    def encode(self, images: Images) -> Codes:
        """Return z_dis."""
        return torch.cat([self.editor.encode(batch).cpu() for batch in images.split(self.batch_size)])

    def infer_noise(self, images: Images, codes: Codes) -> Images:
        """Return the x_T from which the codes generate these images."""
        return self._over_batches(self.editor.infer_noise, images, codes)

    def generate(self, codes: Codes, x_T: Images) -> Images:
        """Return images of codes from given noise."""
        return self._over_batches(self.editor.generate, codes, x_T)

    def noise(self, seeds: Sequence[int]) -> Images:
        """Return x_T ~ N(0, I), one per seed."""
        return self.editor.noise(seeds).cpu()

    def _over_batches(self, function: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
        device, results = self.editor.device, []
        for a, b in zip(first.split(self.batch_size), second.split(self.batch_size), strict=True):
            results.append(function(a.to(device), b.to(device)).cpu())
            self._progress.advance(len(a) * self.editor.sampling.steps, self.name)
        return torch.cat(results)
