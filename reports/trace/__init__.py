"""The page of a trace: lengths, arrivals, conversations, shared prefixes, and the cards that its requests fit on."""
