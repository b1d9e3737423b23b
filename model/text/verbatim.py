"""Kinds of strings that stay as they are in any language, and how each is recognised.

A table: the name of a kind, and its pattern. Patterns are verbose regular expressions. Each ends
after a bounded number of characters, or where no other one begins, so that time is linear; none
goes beyond the end of a line. What begins with a sign has that sign first and what must not stand
before it behind, so that `re` tries at each character only what can begin with it. What cannot
end earlier is possessive: nothing is tried again that would fail again.
"""

from __future__ import annotations

import re

__all__ = ["DIGITS_HINT", "SIGNS_HINT", "WEB_ADDRESS", "WITH_DIGITS", "WITH_SIGNS", "WORDS_HINT"]

WEB_ADDRESS = r"""
    (?<=\()(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}+://
     (?:[^\s<>"()]*\([^\s<>"()]*\)){0,3}[^\s<>"()]*[^\s<>"().,;:!?]
    |(?:(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}+://|(?<![\w.])www\.)  # but not the
     [^\s<>"\u201c-\u201e\xab\xbb\u2039\u203a]*         # marks that end a sentence
     [^\s<>"\u2018-\u201e\xab\xbb\u2039\u203a\u2026'.,;:!?)\]}*]
"""
"""An address with a scheme, or that begins with www; a pattern to be compiled as verbose."""

_EMOJI = "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001fbff]"
_PARAGRAPH = r"[0-9]{1,5}(?:\.[0-9]{1,4}){0,4}[a-z]?(?!\w|[.,][0-9])"
_OF_LAW = r"""
    (?:,?[\ \xa0](?:Abs|UAbs|S|Satz|Nr|lit|Hs|Halbs|Alt|Ziff|Buchst)\.?[\ \xa0]?
       (?:[0-9]{1,3}[a-z]?|[a-z]\)?)(?!\w)){0,5}
    (?:\ ff?\.)?(?:[\ \xa0](?=[A-Z]{2,5}(?!\w|\ [A-Z\xc4\xd6\xdc]{2})|[A-Z]+[a-z])
       [A-Z][A-Za-z]{0,8}[GOBVR](?!\w))?"""
"""The parts of a paragraph, and the law: Abs. 1 S. 2 BGB."""
_BEGINS_WITH_SIGN = {
    "placeholder of a model": r"[\uE000-\uE00A]",  # in the text already
    "code": r"""
        `(?<![\w`]`)(?P<ticks>`{0,2})(?=[^\s`])(?:[^`'\n]|'[^`'\n]*+'){1,200}+`(?P=ticks)(?![\w`])""",
    "account: @anna, @anna@example.org": r"""
        @(?<![\w/&@]@)[A-Za-z_]\w*(?:@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})?""",
    "variable: @@x@@": r"@(?<![\w@]@)@[\w.-]{1,64}+@@",
    "variable: ###x###, #x#": r"""
        \#(?<![\w\#]\#)(?P<hashes>\#{0,3})[\w.-]{1,64}+\#(?P=hashes)(?![\w\#])""",
    "number sign": r"\#(?<![\w\#]\#)(?![\w\#{])",
    "colour": r"\#(?<![\w&\#]\#)[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?(?!\w)",
    "topic": r"\#(?<![\w/&\#]\#)[^\W\d]\w*",
    "index: <sub>2</sub>": r"<(?P<index>su[bp])>[^<>\n]{1,20}</(?P=index)>",
    "tag": r"""
        </?[A-Za-z][\w:-]*+
        (?:GAP++[\w:@.-]++=(?:"[^"<\n]*"|'[^'<\n]*'|\\"[^"<\n]*\\"|[^\s"'<>]+))*
        (?:GAP++(?:disabled|checked|selected|required|readonly|hidden|controls|open))?GAP*/?>""",
    "comment": r"<!--(?:[^-<\n]|<(?!!--)|-(?!->)){0,500}-->",
    "template: <<x>>": r"<<[\w.:-]{1,64}+>>",
    "template: <% x %>": r"<%[^%\n]{1,200}+%>",
    "operator: &&": "&&",
    "entity": r"&(?:[A-Za-z]{2,8}[0-9]{0,2}|\#[0-9]{1,6}|\#x[0-9A-Fa-f]{1,5});",
    "template: {{x}}, {% x %}": r"\{\{\{?+[^{}\n]{1,100}+\}\}\}?|\{%[^{}\n]{1,100}%\}",
    "template: [[x]], [%x%]": r"\[\[[^\[\]\n]{1,100}+\]\]|\[%[^%\n]{1,100}+%\]",
    "argument of a message: {x, date, long}": r"""
        \{\ ?[\w.-]{1,64}+\ ?,\ ?(?:number|date|time|spellout|ordinal|duration)
        (?:\ ?,[^{}\n]{1,100})?\ ?\}""",
    "variable: {x}, ${x}, %{x}, #{x}": r"""
        [$%\#{](?:(?<=\{)|(?<!\{)\{)(?!\ (?:or|and|to|oder|und|bis|ou|et)\ )
        \ ?[^{}\s]{1,64}+\ ?\}""",
    "variable: $x, $t(x)": r"\$(?<![\w$]\$)(?:t\([^()\n]{1,100}+\)|[A-Za-z_]\w*)",
    "variable: %x%": r"%(?<![\w%]%)[A-Za-z_]\w++%",
    "variable of printf": r"%(?<![\w%]%)(?:%|FORMAT)(?:%(?:%|FORMAT))*",
    "shortcode: :cat:; variable: :x": r"""
        :(?<![\w:/]:)(?:[A-Za-z0-9_+-]{2,32}+:(?![\w:/])|[a-z_][a-z0-9_]++(?![\w:/]))""",
    "path: ~/a, /a/b": r"""
        ~(?<![\w/.~-]~)/(?:[\w.-]++/)*[\w.-]*\w
        |/(?<![\w/.~-]/)(?:[\w.-]++/)+[\w.-]*\w""",
    "path: \\\\host\\a": r"\\(?<![\w\\]\\)\\[\w.$-]++(?:\\[\w.$-]++)+",
    "escape sequence": r"""
        \\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[nrt](?![a-z])|["'\\]
          |(?<=[\w.,;:!?)>]\\)[nt](?=[a-z]))""",
    "LaTeX": r"\\[A-Za-z]{2,20}+\{",
    "target of a link: ](a)": r"\]\((?:[^\s()]|\([^\s()]*\)){1,2000}\)",
    "reference: [3], [12, 14]": r"\[[0-9]{1,4}(?:(?:,\ ?|-|\u2013)[0-9]{1,4}){0,20}\](?!\()",
    "telephone: (555) 010-0000": r"\((?<!\w\()[0-9]{2,5}\)[\ ]?[0-9][0-9\ /-]{3,12}[0-9](?![\w])",
    "reference numeral: (12), (12a)": r"""
        \((?<!\w\()[0-9]{1,4}[a-z]?'?(?:,\ [0-9]{1,4}[a-z]?'?){0,20}\)""",
    "telephone: +1 555 010": r"\+(?<!\w\+)[0-9][0-9\ ()/.\xa0-]{5,20}[0-9](?![\w])",
    "paragraph of a law: \xa7 433 Abs. 1 BGB": r"""
        \xa7(?<!\w\xa7)\xa7?[\ \xa0]?PARAGRAPH(?:(?:,\ |-|\u2013)PARAGRAPH){0,9}
        OF_LAW""",
    "flag": "[\U0001f1e6-\U0001f1ff]{2}",
    "emoji": rf"""
        {_EMOJI}(?:[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d{_EMOJI})*""",
}
"""What begins with a sign."""

_EXTENSIONS = """
    txt pdf docx? xlsx? pptx? od[tsp] csv tsv jpe?g png gif svg webp tiff? zip gz bz2 xz 7z rar
    tar html? xhtml xml json ya?ml toml ini cfg conf log md rst tex srt vtt py ipynb js ts jsx
    tsx css scss sh bat ps1 cpp hpp java php sql exe dll dmg apk iso mp[34] wav ogg flac avi mkv
    webm epub psd ttf woff2?"""
"""The endings of files; but not those that are words or abbreviations, as in d.h."""
_BEGINS_WORD = {
    "web address": WEB_ADDRESS,
    "this machine": r"(?<!\.)localhost(?::[0-9]{1,5})?(?:/[\w./%?&=~-]*\w)?",
    "mail address": r"(?<![.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,5}",
    "domain": r"""
        (?<![.@/-])(?:[A-Za-z0-9-]{1,63}+\.){1,5}(?:com|org|net|io|edu|gov|de|ch|eu|dev|info|co\.uk)
        \b(?!\.?\w)(?:/[\w./%?&=~-]*\w)?""",
    "article of a law: Art. 5 Abs. 1 GG": r"""
        Art\.[\ \xa0][0-9]{1,3}[a-z]?(?=,?[\ \xa0](?:Abs|S|Satz)\b)OF_LAW""",
    "bank: BIC COBADEFFXXX": r"""
        (?:(?<=BIC[\ :])|(?<=BIC:\ )|(?<=SWIFT:)|(?<=SWIFT:\ )
          |(?<=SWIFT[\ -][Cc]ode[\ :])|(?<=SWIFT[\ -][Cc]ode:\ ))
        [A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![\w-])""",
    "path: C:\\a": r"(?<!\\)[A-Za-z]:\\(?:[\w.$~-]++\\)*[\w.$~-]*\w",
    "file": r"""
        (?<![./~-])(?:[\w-]{1,64}+(?:\.[\w-]{1,16}+){0,3}\.(?i:EXTENSIONS))\b
        |__\w+__(?!\w)""",
    "letter with an index: x<sub>2</sub>": r"""
        [A-Za-z](?:<(?P<letter>su[bp])>[^<>\n]{1,20}</(?P=letter)>){1,3}(?!\w)""",
    "name in a program: a_b, f()": r"""
        (?<![.-])(?!\w*_in(?:nen)?\b)[A-Za-z0-9]++(?:_[A-Za-z0-9]++)++(?![\w-])""",
}
"""What begins where no letter or digit stands before it, with one of .@:_+<- behind a word."""
_BEGINS_WITH_SIGNS = {
    "path: ./a": r"(?<![\w/.~-])\.{1,2}/(?:[\w.-]++/)*[\w.-]*\w",
    "option of a command": r"""
        (?<![\w-])--[a-z][a-z0-9]*(?:(?:-[a-z0-9]+)+(?:=[\w./]*\w)?|=[\w./]*\w)""",
}

_HEX = "[0-9A-Fa-f]"
_WITH_DIGITS = {
    "time stamp": r"""
        [0-9]{4}-[0-9]{2}-[0-9]{2}[T\ ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?
        (?:\ ?(?:Z|UTC)\b|[+-][0-9]{2}:?[0-9]{2})?""",
    "timecode": r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[,.][0-9]{3}|[:;][0-9]{2})(?![\w])",
    "IPv4 address": r"""
        (?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}
        (?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])
        (?:/[0-9]{1,2}|:[0-9]{1,5})?(?![\w]|[.,][0-9])""",
    "hardware address": rf"""
        {_HEX}{{2}}(?P<joint>[:-]){_HEX}{{2}}(?:(?P=joint){_HEX}{{2}}){{4}}(?![\w:])""",
    "IPv6 address": rf"""
        (?=(?:{_HEX}{{1,4}}:){{1,7}}:|(?:{_HEX}{{1,4}}:){{7}})
        {_HEX}{{1,4}}(?::{_HEX}{{0,4}}){{2,7}}(?:/[0-9]{{1,3}})?(?![\w:])""",
    "unique identifier": rf"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!\w)",
    "hash": r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,128}(?!\w)",
    "DOI": r"10\.[0-9]{4,9}/[^\s<>\"]*[^\s<>\".,;:!?)\]}]",
    "version": r"""
        (?:[vV]\.?\ ?(?=[0-9])|(?<=ersion\ ))[0-9]{1,5}(?:\.[0-9]{1,5}){1,4}
          (?:[-+][A-Za-z0-9.-]*[A-Za-z0-9])?(?!\w)
        |[0-9]{1,5}(?:\.[0-9]{1,5}){1,3}-(?:rc|alpha|beta|dev|pre|SNAPSHOT)[A-Za-z0-9.-]*(?!\w)""",
    "account number (IBAN)": r"""
        [A-Z]{2}[0-9]{2}(?:\ ?[A-Z0-9]{4}){3,7}(?:\ ?[A-Z0-9]{1,3})?(?!\w)""",
    "duration: 3h 45m": r"[0-9]{1,4}(?:h\ ?[0-9]{1,2}m?(?:\ ?[0-9]{1,2}s)?|m\ ?[0-9]{1,2}s)(?!\w)",
    "number and fraction: 1 1/2": r"""
        [0-9]{1,3}[\ -](?:1/[2-9]|2/[35]|3/[458]|4/5|5/[68]|7/8
          |1/1[026]|[379]/10|(?:3|5|7|9|1[135])/16|1/32|1/64)(?![\w/-]|[.,][0-9])""",
    "number of a card": r"""
        [0-9]{4}(?P<card>[\ -])[0-9]{4}(?P=card)[0-9]{4}(?P=card)[0-9]{4}(?![\w-])""",
    "book number (ISBN)": r"97[89][\ -](?:[0-9]{1,7}[\ -]){3}[0-9X](?![\w-])",
    "telephone: 0800 000 0000": r"""
        (?!0[0-9][/-][0-9]{2}[/-][0-9]{4}(?![0-9]))  # a date
        0[0-9]{1,5}(?:\ ?[/-]\ ?|\ )[0-9]{2,9}(?:[\ /-][0-9]{2,9}){0,4}(?![\w]|[.,][0-9])
        |[0-9]{3}(?P<dash>[-.])[0-9]{3}(?P=dash)[0-9]{4}(?![\w-])""",
    "article number": r"""
        (?=[A-Z0-9/-]*[0-9]{2})(?=[0-9/-]*[A-Z])
        (?:[A-Z0-9]{1,12}(?:[-/][A-Z0-9]{1,12}){2,5}|[A-Z]{2,8}[-/]?[0-9]{3,}[A-Z0-9]*)
        (?!\w|-[^\W\d])""",
    "formula: H2O, Ca(OH)2": r"""
        (?=[A-Za-z()]*(?<=[A-Za-z)])[0-9\u2080-\u2089])
        (?:[A-Z][a-z]?COUNT|\((?:[A-Z][a-z]?COUNT){1,8}\)COUNT){2,24}
        (?:[\u207a\u207b]|(?![\w(+-]))""".replace("COUNT", r"[0-9\u2080-\u2089]{0,3}"),
    "keycap": r"[0-9]\ufe0f?\u20e3",
}
"""What begins where no letter or digit stands before it, and has a digit in its first word."""
_UNIT = r"""
    (?<=[0-9][\ \xa0\u202f])
    (?:PREFIX(?:mol|Wh|Hz|Pa|bar|g|m|l|L|s|W|V|A|J|N|B|bit|b)[\xb2\xb3]?
        (?:/PREFIX(?:mol|g|m|l|L|s|h|min|d)[\xb2\xb3]?
           |(?<=[\xb2\xb3])|(?<=[kMGT]Wh)|(?<=[kMGT]Hz)|(?<=[hkM]Pa))
     |[\xb5\u03bc](?:m|g|l|s|A|V|F)|[kM]?\u03a9|\xb0[CF])
    (?![\w/])""".replace("PREFIX", r"[\xb5\u03bcmkcdnhMGT]?")
"""A unit behind a number, of those that no language writes otherwise."""
_UNIT_ALONE = r"(?<!\w)(?:[kmc\xb5\u03bc]?[glWJN]/)?[\xb5\u03bckcdm]?m[\xb2\xb3](?!\w)"
"""A unit for which a digit has to be read, without a number: per km\xb2."""

_FORMAT = (
    r"(?:\(\w{1,32}\))?(?:[0-9]\$)?[-+0\#]?[0-9]{0,3}(?:\.[0-9]{1,3})?(?:l{0,2}|h|z)"
    r"[sdiouxXfgcpn@](?![a-z])"
)
_GAP = r"[^\S\n]"
"""White space within a line: lines are searched together."""


def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.replace("FORMAT", _FORMAT).replace("GAP", _GAP).replace("OF_LAW", _OF_LAW)
    pattern = pattern.replace("PARAGRAPH", _PARAGRAPH)
    return re.compile(pattern.replace("EXTENSIONS", "|".join(_EXTENSIONS.split())), re.VERBOSE)


# Sets of characters come first: `re` looks for those alone many times as fast.
SIGNS_HINT = re.compile(
    rf"[#<&{{%\\/_`$\xa7\uE000-\uE00A\[@:\].\-(+{_EMOJI[1:-1]}]"
    r"(?:(?<![@:\].\-(+{\\])|(?<=\{)[^{}\n]{1,200}+\}|(?<=\\)(?:[\\uUxnrt\"']|[A-Za-z]{2}|(?<=:\\))"
    r"|(?<=@)(?:(?<![\w/&@]@)[A-Za-z_@]|[\w-]{1,63}+\.[\w-])|(?<=:)(?<![\w:/]:)[A-Za-z0-9_+-]"
    r"|(?<=\])\(|(?<=\.)(?:[^\W\d_]\w|7[zZ]|(?<=www\.)|(?<=Art\.))|(?<=-)-|(?<=[(+])[0-9])"
)
"""Without any of these, and of `WORDS_HINT`, there is no match of `WITH_SIGNS`, which takes several
times as long."""
WORDS_HINT = ("localhost", "BIC", "SWIFT")
"""Words of what has no sign."""
_SIGNS = rf"\uE000-\uE00A`@#<&{{\[$\xa7%:~/\\\](+.\-{_EMOJI[1:-1]}"
"""What any of those begins with that begin with signs."""
# What a letter cannot begin is not tried there one by one.
WITH_SIGNS = _compiled(
    rf"(?=[{_SIGNS}])(?:{'|'.join([*_BEGINS_WITH_SIGN.values(), *_BEGINS_WITH_SIGNS.values()])})"
    rf"|(?<!\w)(?=[^\W_]*+[.@:_+<-]|localhost|[A-Z]{{6}})(?:{'|'.join(_BEGINS_WORD.values())})"
)
DIGITS_HINT = re.compile(
    r"[0-9\u2080-\u2089\xb2\xb3](?<![0-9].)(?:(?<=[A-Za-z)].)|(?<=[A-Z][-/].)"
    r"|(?<=[vVn.][ .].)(?:(?<=[vV]..)|(?<=[vV]\. .)|(?<=ersion .))|(?<=0)[0-9]+ [0-9]"
    r"|(?<=[0-9])[0-9]*+(?:[a-fhmA-Z]|[ \xa0\u202f][\xb5\u03bcmkcdnhMGTWHPbglLsVAJNB\u03a9\xb0]"
    r"|[ \xa0\u202f]?[:/\ufe0f\u20e3-]|\.[0-9]{1,5}\."
    r"|(?<=[0-9]{4})[ -][0-9]{4}|(?<=97[89]) [0-9]|(?<=[0-9]{7})))"
)
"""Without any of these there is no match of `WITH_DIGITS`."""
WITH_DIGITS = _compiled(
    rf"(?<![\w.,:/-])(?=[A-Za-z0-9()/-]{{0,12}}[0-9\u2080-\u2089])(?:{'|'.join(_WITH_DIGITS.values())})"
    rf"|{_UNIT}|{_UNIT_ALONE}"
)
