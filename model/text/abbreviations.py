"""Words with a full stop that end no sentence, by language: a table to be read and added to.

sentencex has lists of its own; here is what they lack, and what they have by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase

__all__ = ["Corrections", "corrections_of"]


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What is different in one language from what sentencex believes."""

    never_last: frozenset[str] = frozenset()
    """Abbreviations that do not end a sentence, whatever follows."""
    suffixes: tuple[str, ...] = ()
    """Ends of compounds that are such abbreviations: `Schulstr.`"""
    before_number: frozenset[str] = frozenset()
    """Abbreviations that do not end a sentence when a number follows: `vol. 2`."""
    words: frozenset[str] = frozenset()
    """Plain words that do end a sentence when a capital follows; sentencex thinks otherwise."""
    ordinals: bool = False
    """A number with a full stop is an ordinal: `im 19. Jahrhundert`."""

    def continue_after(self, word: str, following: str) -> bool:
        """Whether a sentence goes on with the character `following` after `word` and a stop."""
        return (
            word in self.never_last
            or word.endswith(self.suffixes)
            or (word in self.before_number and following.isdigit())
        )


def _words(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


_TITLES_AND_MONTHS_PT = (
    "Sr Sra Srta Srs Sras Dr Dra Drs Dras Prof Profa Eng Arq Exmo Exma Ilmo Ilma Exa Excia "
    "Sto Sta Pe Fr Gen Cel Cap Ten Sgt Maj Alm Dep Sen Gov Pres Min Des Adv "
    "jan fev mar abr mai jun jul ago set out nov dez"
)
_INITIALS = " ".join(ascii_uppercase)
"""In names. `Plan B.` is rarer."""

_CORRECTIONS = {
    "en": Corrections(
        never_last=_words(
            "Ms Mx Messrs Ft Atty Assoc approx incl excl resp Bros Dept Apt ext "
            "Mon Tue Tues Wed Thu Thur Thurs Fri"
        ),
        before_number=_words(
            "app avg ch chap circa ed eq eqs est ex figs max par para sect tab tel temp vol vols "
            "App Ch Chap Eq Eqs Ex Figs Max Par Para Sect Tab Tel Vol Vols Approx"
        ),
        words=_words("me no ill art miss fed"),
    ),
    "de": Corrections(
        never_last=_words(
            # People, firms and places.
            "Hr Hrn Fr Frl Fa Fam Dir Ing Mag Dipl Hl Prok Gebr Abt Inh Verf Hrsg Adr Bhf Hbf Tel "
            "Hd Gez gez Str Pl Nr",
            # Books and laws.
            "Abb Abs Abschn Anh Anl Anm Aufl Ausg Bd Bde Bsp Kap Lit Pos Rn Rz Tab Ziff lit verb",
            # Amounts.
            "Expl Min Mio Mrd Sek Std Stk Tsd max min mind durchschn",
            # In front of what they say something of.
            "Exkl Inkl Zzgl allg ausschl bes betr bez bzgl dt ehem einschl engl entspr evtl exkl "
            "franz frz geb gegr gen gest ggf griech inkl insb jur lat med östl nördl phil rer röm "
            "sog span südl techn urspr vgl westl zzgl",
            "Jan Feb Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez",
        ),
        suffixes=("str", "pl"),
        words=_words("mich mag Art Bart"),
        ordinals=True,
    ),
    "pt": Corrections(
        never_last=_words(
            _TITLES_AND_MONTHS_PT,
            "Cia Ltda Av Al Rod Pça Trav Jd Vl apto ap bl próx aprox ex obs Obs tel Tel ref Ref "
            "Const Dept depto Univ Inst Fac p séc sécs inc incs cap ed",
            _INITIALS,
        ),
        before_number=_words(
            "n nº no núm num p pp pág págs pag fl fls f art arts Art Arts inc incs cap Cap vol Vol "
            "ed Ed séc Séc sec tab fig Fig al par v vv"
        ),
    ),
    "fr": Corrections(
        never_last=_words(
            "Mme Mmes Mlle Mlles MM Mgr Dr Me Pr St Ste av bd boul pl env cf ex réf tél Tél",
            _INITIALS,
        ),
        before_number=_words("n no nos p pp art chap vol fig tab t éd"),
    ),
    "es": Corrections(
        never_last=_words("Sr Sra Srta Sres Dr Dra D Dña Ud Uds Avda Av Cía Ltda Sto Sta aprox"),
        before_number=_words("n núm pág págs p pp art cap vol fig tel"),
    ),
    "it": Corrections(
        never_last=_words(
            "Sig Sigg Sigra Dott Dottssa Prof Avv Ing Arch Geom Rag On Spett Egr Gent ca es cfr",
            _INITIALS,
        ),
        before_number=_words("n p pp pag pagg art artt cap vol fig tel"),
    ),
    "nl": Corrections(
        never_last=_words("dhr mevr mw drs ir ing mr prof dr bijv bv nl ca resp incl excl jl"),
        before_number=_words("nr blz p pp art hfst fig tel"),
    ),
}
_NO_CORRECTIONS = Corrections()


def corrections_of(language: str) -> Corrections:
    """Those of a language, whose code has no region."""
    return _CORRECTIONS.get(language, _NO_CORRECTIONS)
