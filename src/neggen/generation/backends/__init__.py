"""Who answers: one file a backend, all with the protocol of ``base.py``."""
