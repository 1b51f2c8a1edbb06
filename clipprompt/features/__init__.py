"""Frozen features of images and captions: what no learnt number can change, computed once and kept."""
