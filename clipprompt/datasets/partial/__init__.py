"""Which labels of a multi-label set are known to a run: shares of them, single positives, few shots, files, classes."""
