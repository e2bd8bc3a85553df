"""From any source to users, items and who used what."""
