"""How one level of the IR becomes the next."""
