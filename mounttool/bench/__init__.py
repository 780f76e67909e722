"""Measure how fast a checkpoint reaches a storage and comes back, and prove the conditions under which it did."""
