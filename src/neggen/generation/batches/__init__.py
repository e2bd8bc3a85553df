"""Requests answered later: batch files, a provider's Batch API, and what a run would cost.

All of it rests on a run that asks nobody, :func:`neggen.generation.run.look_ahead`.
"""
