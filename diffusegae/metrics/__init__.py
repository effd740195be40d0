"""Measures of quality and the report that shows them."""
