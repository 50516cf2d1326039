"""Training as in the paper, in three stages."""
