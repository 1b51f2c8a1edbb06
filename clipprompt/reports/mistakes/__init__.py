"""What pictures were taken for: predictions, confusions, and the pictures themselves."""
