"""The paper's comparison: every method trained, measured alike over several seeds, and reported side by side."""
