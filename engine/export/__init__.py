"""Export: writes cut models as ONNX, `torch.export` programs or PyTorch folders, and checks each in a fresh process."""
