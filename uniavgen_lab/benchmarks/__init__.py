"""What a pass, a step, a node and a file cost, as ratios and counts of one run."""
