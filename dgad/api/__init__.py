"""What Python callers use: a comparer, surfaces enrolled with it, scored images, evaluations as tables.

`import dgad` offers all of it; nothing else in dgad builds on this package but the commands.
"""
