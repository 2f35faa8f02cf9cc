"""Run a model package on images: read it, tile, ONNX Runtime. No torch here."""
