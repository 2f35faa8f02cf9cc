"""Run trained networks with ONNX Runtime, without torch.

`package.read_package` reads a model, `runner.Runner` runs it, `large.denoise_image` and `large.denoise_file` denoise
pictures of any size with it, `tiles` cuts them.
"""
