"""English words that are never a key attribute."""

from __future__ import annotations

_WORDS = """
a about above across after again against all along also although always am among an and another
any anyone anything are around as at away back be became because become becomes been before
begins behind being below best better between both but by came can cannot come comes could did
do does doing done down during each either else enough even ever every everyone everything few
find finds first for found from gave get gets getting give given gives go goes going good got
great had has have having he help helps her here hers herself him himself his how however i if
in including into is it its itself just keep keeps know known last later least less let like
made make makes making many may me might mine more most much must my myself need needs never new
next no none nor not nothing now of off often on once one only onto or other others our ours
out over own part per perfect perhaps please put quite rather really same see seen several shall
she should since so some someone something soon still such take taken takes than that the their
theirs them themselves then there these they thing things this those though three through thus
to together too took toward towards try trying two under unless until up upon us use used uses
using very via want wants was way we well went were what when where whether which while who
whole whom whose why will with within without would yet you your yours yourself
"""
STOPWORDS = frozenset(_WORDS.split())
