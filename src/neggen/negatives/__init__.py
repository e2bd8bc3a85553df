"""Samplers of real negative items, vectorized on the model's device."""
