"""Streaming layers: each obeys the law stated in `streaming.py`. They know tensors, not sessions or tokens."""
