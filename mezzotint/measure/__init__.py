"""How fast, how much memory, how faithful: what `mezzotint bench` and the project's bench share."""
