"""Data sets of one's own words: what is asked for, its prompts, its pairs as plain files, which of them are kept."""
