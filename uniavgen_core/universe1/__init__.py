"""UniVerse-1 (arXiv 2509.06155): Wan 2.1 1.3B for the video and ACE-Step for the audio, stitched block by block."""
