"""The diffusion process and its samplers, as frozen data and pure functions."""
