"""The workflow's stages: each reads the files of the stage before, calls the library, and writes its own."""
