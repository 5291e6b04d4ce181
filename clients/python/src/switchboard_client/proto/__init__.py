"""Generated from the proto files of the control API by `scripts/generate.py`: not to be edited."""
