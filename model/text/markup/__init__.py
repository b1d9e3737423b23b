"""Documents with markup: what of them is translated, and the document with the translations.

A document is cut into blocks: plain texts, with the inline elements as ranges over them. Everything
else is kept as it was written. `documents` reads each kind of markup; `rendering` writes a
document with its translations, the inline elements around the words that align with theirs.
"""
