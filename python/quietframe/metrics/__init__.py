"""Image quality: against a truth, against a repeat, or from one image alone."""
