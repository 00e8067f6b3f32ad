"""The workflow around the library: studies, their stages, files, tables and report."""

from seediff.extras import require_extra

require_extra("workflow")
