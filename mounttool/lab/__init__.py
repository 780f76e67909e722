"""Real nodes and real storage on one machine, to try everything and to test it."""
