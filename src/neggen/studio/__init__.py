"""Looking at it: the report."""
