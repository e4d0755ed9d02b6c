"""Every picture Ferrule draws, in the house style of `style`.

`data` shows datasets, `evaluation` shows models, `training` shows how they learned. A chart is a function that takes
arrays or tables and returns a matplotlib Figure; `style.save_figure` writes it, with the same bytes for the same
figure. No chart touches pyplot, so nothing is kept between two of them.
"""
