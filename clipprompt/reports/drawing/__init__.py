"""Figures: what all pictures share, and the plots of protocols."""
