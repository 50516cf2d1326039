"""The joint model of UniAVGen (arXiv 2511.03334, section 3)."""
