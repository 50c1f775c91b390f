# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prompts of a wished length, none of which begins like another one, so that no cache of prefixes flatters."""

from __future__ import annotations

import random

WORDS = (
    "about above across after again air all almost along also always animal answer area arm ask away back ball bank "
    "base be bed before begin below best better big bird black blue boat body book both box boy bring brother brown "
    "build bus but buy call car care case cat change child city class clear close cold come cook cool corn could "
    "count country cut dark day dead deep did do dog door down draw dream dress drink drive dry each ear early "
    "earth east eat end enough even ever every eye face fact fall family far farm fast father feel few field fill "
    "find fire first fish five floor fly follow food foot for forest form found four free friend from full game "
    "garden gave get girl give glass go gold good great green ground group grow had half hand happy hard have head "
    "hear heart heat help here high hill hold home horse hot hour house how ice idea if in iron island it job join "
    "jump just keep kind king know lake land large last late laugh law lead learn leave left leg less let letter "
    "life light like line list listen little live long look lost love low machine made main make man many map mark "
    "market may mean meet men might mile milk mind minute miss money month moon more morning most mother mountain "
    "mouth move much music must name near need never new next night nine no north nose note nothing now number "
    "ocean of off office often oil old on once one only open or order other our out over own page paint paper part "
    "party pass past pay people person picture piece place plan plane plant play point pool poor power price pull "
    "push put question quick quiet rain ran read ready real red rest rich ride right ring rise river road rock room "
    "round rule run safe said sail salt same sand saw say school sea second see seed seem sell send set seven shape "
    "ship shoe shop short should show side sign simple sing sister sit six size skin sky sleep slow small snow so "
    "soft soil some son song soon sound south space speak spring stand star start stay step still stone stop store "
    "story street strong study such sugar summer sun sure table take talk tall teach tell ten test than that the "
    "then there they thing think this three through time to today together too top touch town tree trip true try "
    "turn two under until up us use very voice wait walk wall want warm was wash watch water wave way we week well "
    "went were west what wheel when where white who why wide wife wild will wind window winter wish with woman wood "
    "word work world would write year yellow yes yet you young").split()
"""Short and common, so that most of them are one token in most vocabularies."""

BEGINNING = 12
"""Words that tell two prompts apart; shorter prompts are told apart by all that they have."""


class Prompts:
    """An endless supply."""

    def __init__(self, seed):
        """seed: another one for each run, so that nothing that an engine has kept of an earlier run fits."""
        self.random, self.begun = random.Random(seed), set()

    def text(self, words):
        """Return a prompt of so many words, 1 or more, which begins as none before."""
        while True:
            chosen = self.random.choices(WORDS, k=words)
            beginning = tuple(chosen[:BEGINNING])
            # All beginnings of one word may be gone.
            if beginning not in self.begun or words < 3:
                self.begun.add(beginning)
                return " ".join(chosen)


def words_for(wanted_tokens, words, tokens, without=0):
    """Return how many words make the wished number of tokens, where `words` of them have made `tokens`.

    without: tokens that the engine adds to each prompt, such as one for the beginning. What an engine does not tell
    (tokens None or too few) is taken as a token a word.
    """
    if not tokens or tokens <= without:
        return max(1, wanted_tokens)
    return max(1, round((wanted_tokens - without) * words / (tokens - without)))
