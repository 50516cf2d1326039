"""Faces: found, followed, drawn as masks, and laid over what the model predicts."""
