"""What models say instead of an answer, in the languages they commonly say it in."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"(?<=[.!?;:])[\"')”»]?\s+|(?<=[。！？])")
_SORRY = (
    r"(?:(?:i'?m|i am|we're|we are) (?:(?:very|so|really|truly|terribly|afraid) ){0,3}sorry"
    r"|(?:very |so )?sorry|i (?:do |must )?apologi[sz]e|(?:my |our )?apologies|unfortunately"
    r"|regrettably|i'm afraid)"
)
_SUBJECT = r"(?:i|we|this (?:model|assistant))"
_CANNOT = (
    r"(?: can't| cannot| can not| could not| couldn't| won't| will not| am unable to|'m unable to"
    r"| am not able to|'m not able to| are unable to| must decline to| (?:have|need) to decline to"
    r"| decline to| refuse to| am not allowed to|'m not allowed to| don't feel comfortable"
    r"| do not feel comfortable)"
)
_VERB = (
    r" (?:(?:actually|really|directly|currently|accurately|reliably|in good conscience) )?"
    r"(?:help|assist|provid|describ|comply|fulfil|identify|see|view|process|do|answer|generat"
    r"|access|determin|recogni[sz]|analy[sz]|engag|complete th|create th|write th|replac|discuss"
    r"|support th|make out)"
)
# Strict about the verb: "Sorry, Wrong Number" and "I Can't Sleep" are films.
_ENGLISH = re.compile(
    rf"{_SORRY}[,.!]? (?:but|however)\b"
    rf"|(?:{_SORRY}[,.!:]? (?:but )?)?{_SUBJECT}{_CANNOT}{_VERB}"
    rf"|(?:{_SORRY}[,.!:]? (?:but )?)?{_SUBJECT} (?:do not|don't|cannot|can't)"
    r" (?:see (?:an?|any|the) (?:image|picture|item)|have (?:access to|enough|the ability|an image"
    r"|any (?:image|picture|information|details)))"
    rf"|{_SORRY}[,.!:]? (?:the|this|that|there is no|no)"
    r" (?:image|picture|photo|item|request|content)\b"
    r"|as an? (?:ai(?:,| i\b| language| model| assistant| system)|large language model"
    r"|language model|artificial intelligence (?:model|assistant))"
    r"|i(?:'m| am) (?:just |only )?an? (?:ai\b|large language model|language model)"
    r"|(?:this|the|that) (?:image|picture|photo|request|content) (?:cannot be|can't be|could not be"
    r"|violates|is (?:not available|unavailable|missing|blank|corrupted)|(?:was|is) not provided)"
    r"|unable to (?:describe|help|assist|process|provide|comply|determine|view|see|identify)"
    r"|cannot (?:describe|help|assist|provide|comply|determine|identify)\b"
    r"|it(?:'s| is) (?:not possible|impossible) to (?:describe|determine|identify|say)"
    r"|request (?:declined|refused|denied)|i (?:cannot|can't|refuse|decline)[.!]?$",
    re.IGNORECASE,
)
_ANYWHERE = re.compile(
    r"\b(?:as an ai (?:language )?model|as a large language model|against my (?:guidelines|policy"
    r"|programming)|content polic(?:y|ies)|i (?:can't|cannot) (?:help|assist) (?:you )?with)\b",
    re.IGNORECASE,
)
# A shop's own text may end with such a sentence, so only the beginning of a text counts.
_NOTHING_GIVEN = re.compile(
    r"(?:there is |there was )?no (?:image|picture|photo|item data|description|text)"
    r" (?:(?:was|were|is|has been) )?(?:provided|given|available|attached|found|visible)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"es tut mir (?:sehr )?leid,? (?:aber|ich)|(?:tut mir leid|entschuldigung),? (?:aber|ich)"
    r"|leider kann ich|ich kann (?:dies|das bild|dir|ihnen|dabei|hierbei|nicht)|als ki\b"
    r"|(?:lo siento|disculpa|lo lamento),? (?:pero|no)\b|no puedo (?:ayud|describ|proporcion|ver)"
    r"|(?:je suis )?(?:vraiment )?désolée?,? (?:mais|je)|je ne (?:peux|suis) pas"
    r"|mi dispiace,? (?:ma|non)|non posso (?:aiut|descriv|forn)"
    r"|(?:desculpe|sinto muito|lamento),? (?:mas|não)|não posso (?:ajud|descrev|forn)"
    r"|het spijt me,? (?:maar|ik)|przykro mi,? ale|üzgünüm,? ancak"
    r"|(?:извините|простите|к сожалению),? (?:но|я)\b|я не могу (?:помо|опис|предостав)"
    r"|(?:非常|很|十分)?抱歉|对不起|對不起|我(?:无法|無法|不能)|作为(?:一个)?(?:ai|人工智能)"
    r"|申し訳(?:ありません|ございません|ない)|すみません|죄송(?:합니다|하지만)|미안하지만"
    r"|عذرًا|عذراً|क्षमा करें|xin lỗi,",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Return whether a sentence of ``text``, with straight apostrophes, begins as a refusal."""
    sentences = sentences_of(text)
    return bool(
        _NOTHING_GIVEN.match(sentences[0])
        or any(_ENGLISH.match(begun) or _ELSEWHERE.match(begun) for begun in sentences)
        or _ANYWHERE.search(text)
    )


def sentences_of(text: str) -> list[str]:
    """Return ``text`` and its sentences, each without the quotation marks and stars before it."""
    return [sentence.lstrip("\"'(*“„« ") for sentence in (text, *_SENTENCE_END.split(text))]
