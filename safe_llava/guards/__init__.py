"""What programs around a guard ask of it, and the guards that there are: on torch, and on onnxruntime."""
