"""The page of `seediff demo`: what it looks at, and how it shows that."""
