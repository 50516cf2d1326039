"""Parts of videos made anew: which ones, what of the video a segment holds, and how the result gets back into it."""
