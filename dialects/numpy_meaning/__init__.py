"""The numpy meaning of every op that a stage can hold: one interpreter for all levels."""
