"""Passes that stay on the `linalg` level: fusion into kernel regions."""
