"""What the IR can say, and the numpy meaning of each op."""
