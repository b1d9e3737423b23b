"""From characters to token ids and back: tokenizer, sentences, segments, protected spans."""
