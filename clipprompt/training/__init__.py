"""Training: the one loop, its learning rate, checkpoints, cached features and run folders."""
