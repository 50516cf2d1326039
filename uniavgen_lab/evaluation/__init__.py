"""Measures: lip sync, words, voice, mood and picture, of drawn people and of real ones."""
