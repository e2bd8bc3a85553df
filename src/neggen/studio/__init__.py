"""Looking at it: the report, and the review app."""
