"""The command line tools: argument parsing, nothing else."""
