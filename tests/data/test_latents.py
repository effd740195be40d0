"""Latents: a folder holds those of one encoder alone, whole or in part."""

from pathlib import Path

from diffusegae import storage
from diffusegae.data.latents import begin_latents, latent_shard_name


def test_what_another_encoder_has_left_is_deleted_and_ones_own_is_kept(tmp_path: Path) -> None:
    uri = str(tmp_path / "latents")
    shard = storage.join(uri, latent_shard_name(0))
    storage.write_bytes(shard, b"of a version that noted no encoder")
    begin_latents(uri, "one")
    assert not storage.exists(shard)
    storage.write_bytes(shard, b"of one")
    begin_latents(uri, "one")
    assert storage.exists(shard)
    begin_latents(uri, "other")
    assert not storage.exists(shard)
