"""What is drawn: prompt sets, words and their synonyms."""
