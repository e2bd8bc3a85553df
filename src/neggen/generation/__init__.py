"""Generation: what each item is, and what it pointedly is not."""
