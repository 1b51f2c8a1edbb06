"""Captions: readers, synonyms, the matcher and the labelled corpus."""
