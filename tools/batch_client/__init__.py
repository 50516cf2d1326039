"""Has the rows of a CSV file made by ComfyUI servers, over Ray. Needs neither ComfyUI nor torch."""
