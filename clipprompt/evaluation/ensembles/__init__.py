"""Several prompts as one: their weights, and the pictures that choose these."""
