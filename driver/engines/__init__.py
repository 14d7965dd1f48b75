"""Engines that run a package from Python."""
