"""From records of protocols to rows of numbers: what compares, means, notes, and what papers print."""
