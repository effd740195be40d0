"""Data sources, shards, GROUP planning and the Ray Data streams."""
