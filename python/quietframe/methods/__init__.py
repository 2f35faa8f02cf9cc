"""Learned denoisers, one per file. The folder listing is the registry."""
