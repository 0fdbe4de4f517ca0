"""The sources floor: where configuration comes from. It hands over whole, verified snapshots, never a part."""
