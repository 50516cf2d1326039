"""Sound of the model: log-mel features and the vocoders that turn them back into a waveform."""
