"""Losses, stages and the one training loop on Ray Train."""
