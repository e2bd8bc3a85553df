"""Models in other hands: an HTTP service, and exports that other programs read."""
