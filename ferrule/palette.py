"""The colour of each class, the same in charts, timelines, annotated photos and the page."""

# The palette of Okabe and Ito (2008) with a dark grey for its yellow, which is too faint on white: any two differ by at
# least 16 (CIE 1976 ΔE) as seen with each of the three colour blindnesses.
CLASS_COLOURS = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#4D4D4D",
}
