"""Editing: from latent to latent, and from image to image."""
