"""Records of multi-label sets: tables, plots, and what papers print."""
