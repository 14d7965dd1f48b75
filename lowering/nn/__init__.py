"""Passes that stay on the `nn` level."""
