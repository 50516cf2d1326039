"""Test harness that runs a real ComfyUI, and its real frontend, in processes of their own."""
