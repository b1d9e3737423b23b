"""Numbers of a text: found with their values, and written as another language writes them.

`find` reads digits by the conventions of the text's language (CLDR's, from babel), `find_spelled`
what is said in words; `written` says how a target may write a value. What is not written as its
language does is kept as it is: a number never gets another value, for all that is certain. All are
deterministic and take linear time.
"""

from model.text.numbers.recognition import find, has_digits
from model.text.numbers.rendering import spellings, unit_spellings, written
from model.text.numbers.spelled import find_spelled
from model.text.numbers.values import Number, Value
from model.text.numbers.words import number_words, ordinals, words_above_twelve

__all__ = [
    "Number",
    "Value",
    "find",
    "find_spelled",
    "has_digits",
    "number_words",
    "ordinals",
    "spellings",
    "unit_spellings",
    "words_above_twelve",
    "written",
]
