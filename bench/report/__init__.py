"""docs/performance.md and the README's headline, written from rows."""
