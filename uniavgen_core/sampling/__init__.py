"""The schedule, modality-aware guidance and a plain Euler loop."""
