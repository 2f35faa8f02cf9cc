"""The training loop and what it needs: patches, masks, checkpoints, devices."""
