"""Mount, verify and measure checkpoint storage on fleets of Linux nodes."""

__version__ = "0.1.0"
