"""Run one ingest in a process of its own, for a test that kills it: ingest_once.py CONFIG_JSON IMAGE_SIZE URI.

The units are done in this very process, so that the kill hits whoever is writing.
"""

import sys

from diffusegae.config.data import DataConfig
from diffusegae.data import ingest

if __name__ == "__main__":
    ingest.run_units = lambda units, work: map(work, units)
    ingest.ingest(DataConfig.model_validate_json(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
