"""Words that are alternatives in any catalogue, whatever stands around them."""

from __future__ import annotations

from neggen.generation.catalogue.colors import NAMES

# One group a line; "/" joins words that say nearly the same and so are no alternatives.
_GROUPS = (
    ", ".join(NAMES),
    "small/compact/mini/tiny, large/jumbo/oversized/huge/giant",
    "lightweight, heavy-duty",
    "thick/bulky, thin/slim",
    "wide, narrow",
    "rigid, flexible/stretchy",
    "rough/textured, smooth",
    "glossy, matte",
    "round/oval, square/rectangular, triangular",
    "straight, curved",
    "wireless/cordless, wired/corded",
    "manual, electric/automatic/battery-powered",
    "digital, analog",
    "laser, inkjet",
    "permanent, removable, washable/erasable",
    "disposable, reusable/refillable/rechargeable",
    "portable/handheld, stationary/wall-mounted",
    "retractable, capped",
    "indoor, outdoor",
    "modern/contemporary, traditional/vintage, rustic",
    "elegant/sleek, rugged, playful",
    "affordable, luxurious/premium",
    "quiet, loud",
    "plain, striped, dotted, checked/plaid, floral",
    "leather, vinyl, plastic, metal/steel, wood, glass, cotton, polyester, aluminum, bamboo, "
    "rubber, silicone, ceramic/porcelain, linen, wool, silk, velvet, nylon, canvas, denim, "
    "cardboard, marble",
    "spring, summer, autumn, winter",
    "kitchen, bathroom, bedroom, garden, office, garage, nursery, classroom",
    "morning, evening, afternoon",
    "vanilla, chocolate, strawberry, lemon, peppermint, cinnamon",
    "students, teachers, professionals, artists, children, travelers, gardeners, athletes",
    "detective, teacher, doctor, lawyer, soldier, journalist, scientist, nurse, writer, actor, "
    "musician, farmer, priest, thief, boxer, chef, pilot",
    "murder, wedding, robbery, kidnapping, divorce",
    "city, village, farm, island, desert, suburb, jungle",
    "teenager, child, widow, orphan, bachelor",
    "american, british, french, german, italian, japanese, chinese, russian, spanish, mexican, "
    "irish, indian",
    "new york, london, paris, los angeles, chicago, berlin, tokyo, rome, boston, las vegas",
    "jealous, lonely, greedy, naive, ambitious, shy",
)

GROUP_OF = {
    word: (group, meaning)
    for group, line in enumerate(_GROUPS)
    for meaning, words in enumerate(line.split(", "))
    for word in words.split("/")
}
"""The numbers of a word's group and of its meaning in it. Words of one group and different meanings
take each other's place in a sentence."""
