"""Photos and the faces in them: read upright, found by a detector, cut out as FER-2013 frames its faces.

- photos: a file or its bytes to pixels, upright
- detector: where the faces are; one small interface, and MTCNN behind it
- crops: a face to a crop, and crops that show no face
- examples: photos that are drawn, not taken
"""
