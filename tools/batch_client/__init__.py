"""Sends the rows of a CSV file to ComfyUI servers. Needs Python and tqdm only: neither ComfyUI nor torch."""
