"""Captions: readers, synonyms, the matcher and the labelled corpus.

load_classes -> Matcher -> label         what a caption names
CaptionFile  -> build_corpus -> load_corpus   files to training
"""
