"""Model packages: a trained denoiser as ONNX, described for bioimage.io, checked by reading it back.

`package.write_package` writes one; `check.check_package` checks one; `card.Card` is what its author says of it.
"""
