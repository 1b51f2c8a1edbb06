"""A job's learner on the job's tests, as records with everything that made the numbers."""
