"""The page of a trace: lengths, arrivals, conversations, shared prefixes, and which cards hold it."""
