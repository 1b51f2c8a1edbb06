"""Records of an evaluation as tables and pictures."""
