"""Run a filter over files of any axes and size, and choose one without truth."""
