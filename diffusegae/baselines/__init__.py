"""The methods that ours is compared with: one file each, the same protocol, trained by the same loop."""
