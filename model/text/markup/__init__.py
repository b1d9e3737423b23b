"""Documents with markup: what of them is translated, and the document with the translations.

A document is cut into blocks: plain texts, with the inline elements as ranges over them. Everything
else is kept as it was written. `html` and `xml` read the markup, `blocks` cuts, `placing` puts the
inline elements of a block around the words of its translation that align with theirs.
"""
