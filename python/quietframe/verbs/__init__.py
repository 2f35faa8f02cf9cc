"""What a person does: one file per family, paths in, paths out, progress."""
