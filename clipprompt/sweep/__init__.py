"""Sweeps: many runs as a queue of jobs, each a folder, each gone on with after a kill."""
