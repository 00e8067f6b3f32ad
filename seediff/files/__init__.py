"""Files that are written whole or not at all, and read only as they were written."""
