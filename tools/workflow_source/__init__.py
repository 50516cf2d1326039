"""What the files in `workflows/` are made of."""
