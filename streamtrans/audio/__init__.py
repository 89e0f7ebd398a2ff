"""Sound on its way in: bytes to samples, any rate to 16 kHz, samples to features. It knows no words and no models."""
