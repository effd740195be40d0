"""Encode a whole data set: one image shard after another to its z_sem, to be run by actors side by side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float

from diffusegae import storage
from diffusegae.checkpoint import local_checkpoint, read_meta
from diffusegae.data.latents import encode_latent_shard, latent_shard_name
from diffusegae.data.records import IMAGE
from diffusegae.data.shards import read_manifest
from diffusegae.editing.network import device_at_hand
from diffusegae.images import decode_batch
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.pixels import to_device


@dataclass(frozen=True)
class ShardEncoder:
    """The settings of encoding shards; `build` loads the model where the work is done."""

    images: str
    latents: str
    checkpoint: str
    batch_size: int
    num_threads: int

    def build(self) -> Callable[[int], int]:
        """Load the encoder and return the function that encodes the shard of a number and returns its rows."""
        torch.set_num_threads(self.num_threads)
        device = device_at_hand()
        with local_checkpoint(self.checkpoint) as folder:
            meta = read_meta(folder)
            model = DiffuseGAE.from_pretrained(folder)
        model.requires_grad_(False).to(device)
        shards = read_manifest(self.images).shards

        def encode(number: int) -> int:
            filesystem, path = storage.locate(storage.join(self.images, shards[number].path))
            table = pq.ParquetFile(path, filesystem=filesystem).read()
            z = self._encode_table(model, table, meta.config.model.image_size, device)
            target = storage.join(self.latents, latent_shard_name(number))
            storage.write_bytes(target, encode_latent_shard(table, z))
            return len(z)

        return encode

    @torch.inference_mode()
    def _encode_table(
        self, model: DiffuseGAE, table: pa.Table, size: int, device: torch.device
    ) -> Float[np.ndarray, "rows z_sem"]:
        parts = []  # left where they are until the last is on its way: a GPU encodes while the next is decoded
        for batch in table.select([IMAGE]).to_batches(max_chunksize=self.batch_size):
            pixels = decode_batch(batch.column(0).to_pylist(), size)
            parts.append(model.encode(to_device(pixels, device)))
        return torch.cat(parts).cpu().numpy()
