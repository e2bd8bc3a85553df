"""Comparing models by one fair protocol: the same splits, seeds, budget and tests for every row."""
