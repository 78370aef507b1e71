"""A local page over the runs of a folder: `index` reads them, `launch` starts and stops them, `server` shows them."""
