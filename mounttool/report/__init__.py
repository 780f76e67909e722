"""What the rows say: pure functions of rows, rebuilt at any time."""
