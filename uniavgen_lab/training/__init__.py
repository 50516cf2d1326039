"""Training as in the paper: a corpus, three stages, five tasks."""
