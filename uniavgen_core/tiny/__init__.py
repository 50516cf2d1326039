"""The built-in small model: its picture codec, its caption encoder, and its weights."""
