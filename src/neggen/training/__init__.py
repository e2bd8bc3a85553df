"""Training by gradient: one loop, pure losses, atomic checkpoints."""
