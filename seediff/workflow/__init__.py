"""The workflow around the library: studies, their stages, files, tables and report."""
