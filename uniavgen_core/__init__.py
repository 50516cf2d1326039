"""UniAVGen in plain PyTorch: the joint model, its sampling, its speech text and its sound."""
