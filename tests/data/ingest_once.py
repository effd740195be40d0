"""Run one ingest in a process of its own, for a test that kills it: ingest_once.py CONFIG_JSON IMAGE_SIZE URI."""

import sys

import ray

from diffusegae.config.data import DataConfig
from diffusegae.data.ingest import ingest

if __name__ == "__main__":
    ray.init(
        address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False
    )
    ingest(DataConfig.model_validate_json(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
