"""What a model withstands and where it is weak: accuracy under common corruptions, and on slices of the test images."""
