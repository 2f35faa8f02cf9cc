"""Published comparisons, done again by their recipe."""
