"""Sweeps over the GAE's settings on stored latents, by Ray Tune and Optuna."""
