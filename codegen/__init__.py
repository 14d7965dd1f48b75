"""The last IR level to what the target loads."""
