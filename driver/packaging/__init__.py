"""From a planned host program, compiled kernels and arrays of weights to the sections and files of a package."""
