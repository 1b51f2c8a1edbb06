"""Numbers about learners: metrics, and protocols that yield records."""
