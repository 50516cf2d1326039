"""Faces in pictures: where they are."""
