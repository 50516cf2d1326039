"""Files in and out: pictures, sound and video as tensors."""
