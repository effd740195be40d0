"""The pydantic configs, one class per consumer, and how they are loaded."""
