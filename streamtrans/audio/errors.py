"""What can be wrong with sound that comes in: one exception, told apart by its code."""

from __future__ import annotations


class AudioError(ValueError):
    """Sound that cannot be taken. `code` is stable, `text` says what to do.

    Codes: bad_rate, bad_pause, bad_encoding, bad_samples (NaN, infinite, or far beyond full scale), half_sample (a
    stream that ends within a sample).
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text
