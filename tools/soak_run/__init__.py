"""Parts of the soak: what is asked for, who asks, what is looked at, and the report."""
