"""Text on both sides: normalisation, subword vocabulary, source words as READ units, words to commit."""
