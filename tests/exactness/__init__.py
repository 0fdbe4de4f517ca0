"""The exactness programme: what was answered held against what the store holds."""
