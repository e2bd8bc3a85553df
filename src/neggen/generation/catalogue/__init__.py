"""The catalogue generator: descriptions and negatives without any language model.

It finds attribute values in the columns, titles, texts and pictures of a catalogue, asks the
training interactions which of them preference follows, and exchanges those for values of the same
kind that other users want, if possible those of one other item. It is the default where no language
model can be reached.
"""
