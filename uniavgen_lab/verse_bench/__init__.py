"""Verse-Bench, and UniAVGen's table 1: clips measured with models of one's own."""
