"""The panels of the gallery, a file each: what the pages say, where files lie, how it is drawn, and its words.

A panel is

- frozen dataclasses of plain values, which the templates show;
- ``files``: the address of every file that it writes for a network, and functions that each of them is written by;
- ``draw_…``: a run's results → these dataclasses;
- words: functions that the templates call, each by its own name;
- ``PANEL``, which holds all of it and stands in :mod:`.table`; and where its pictures need one, a ``RECIPE``.

What draws takes ``addresses``, a run with where everything goes; of a layer or a photograph the ``place`` among the
run's; ``photos``, the run's photographs; and ``write``, which takes each file's path and bytes as soon as it is made.
It raises ResultError where a file of the run is missing or damaged. What goes wrong after a result was loaded is a
fault.

A panel may import others, in one direction, and never what builds pages of them.
"""
