"""Models: what they are built from, how they READ and WRITE, how they are kept on disk."""
