"""Web pages that are one file: styles, scripts and pictures are inside, and nothing is requested from anywhere."""
