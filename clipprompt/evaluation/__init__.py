"""Numbers about learners: scores, metrics, records; what protocols run, what their jobs measure, ensembles."""
