"""Proof, by looking: tests that ask the node itself, told by the plan what to expect."""
