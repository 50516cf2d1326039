"""Verse-Bench: clips measured as UniVerse-1's benchmark and UniAVGen's paper measure them, with models of one's own."""
