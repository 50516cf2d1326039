"""Clips as long as wanted: a script, segments that continue each other, and the seams between them."""
