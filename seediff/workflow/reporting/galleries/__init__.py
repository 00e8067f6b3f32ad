"""The paper's qualitative figures (1, 3 to 6, S1 to S5), each from a run's own images and the attention behind them.

grid = GALLERIES["figure6"].grid(drawn, Method(alpha, refinement))     # drawn: what diffusion.synthesis.draw yields
write_gallery(picture(grid), Path("figures/figure6"))                  # figures/figure6.png and .pdf
"""

from seediff.workflow.reporting.galleries.catalogue import GALLERIES as GALLERIES
from seediff.workflow.reporting.galleries.catalogue import Gallery as Gallery
from seediff.workflow.reporting.galleries.catalogue import at_point as at_point
from seediff.workflow.reporting.galleries.grids import picture as picture
from seediff.workflow.reporting.galleries.grids import write_gallery as write_gallery
from seediff.workflow.reporting.galleries.subjects import Method as Method
