"""The lab: what makes, trains and measures the models. It stands above the core and is in no archive."""
