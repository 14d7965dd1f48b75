"""Loops to what WGSL can say."""
