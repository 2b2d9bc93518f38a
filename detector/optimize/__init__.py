"""Model optimisation, away from the device: PyTorch is imported here alone, and only when asked for."""
