"""The demonstration: a trained style-transfer network, compiled and run on a photograph."""
