"""Kernels to workgroups and invocations for a GPU."""
