"""`linalg` regions to outlined kernels, and the host plan."""
