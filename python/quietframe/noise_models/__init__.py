"""What noise a signal has: its variance against its mean, and the transform that gives it one variance everywhere."""
