"""The guard as an ONNX file with a folder beside it, which needs neither torch nor this package."""
