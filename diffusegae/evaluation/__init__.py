"""Evaluation: what is judged and by what, measured of any Method, in pieces that are done once."""
