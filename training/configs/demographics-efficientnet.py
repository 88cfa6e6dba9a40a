"""Age, gender and ethnicity in one pass, learned from UTKFace (years, five groups) and FairFace (age bins, seven
groups).

Train demographics-faces before. This last stage sees more of the black men and women whom that reads worst, and more
blurred faces.
"""

from dataclasses import replace

from training.config import load_config

faces = load_config("demographics-faces")
config = replace(
    faces,
    model="demographics-efficientnet",
    start="runs/demographics-faces",
    probe=False,
    # FairFace's black men were read five points worse than all of ten and older, its black women two (validation).
    emphasis={"fairface female black": 1.5, "fairface male black": 1.5},
    epochs=3,
    augment=replace(faces.augment, blur=0.3),
)
