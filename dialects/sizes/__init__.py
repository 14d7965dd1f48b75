"""Sizes that are known when a model is run: expressions of symbols, which compute as ints do."""
