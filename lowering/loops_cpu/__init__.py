"""Kernels to tiled and vectorised loops for one CPU thread."""
