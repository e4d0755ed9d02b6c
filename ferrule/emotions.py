"""The seven classes of FER-2013: their ids, their names in the wild, and the ten votes of FER+."""

from collections.abc import Iterable

from ferrule.errors import ParameterError

# In the order of fer2013.csv, where `emotion` is the position in this tuple.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# The columns of FER+'s fer2013new.csv (Barsoum et al., ICMI 2016), in its order; NF is "not a face".
FERPLUS_VOTES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)

_SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
}


def parse_emotion(text: str) -> str | None:
    """Return the class that `text` names ("3", "Happy", "happiness" -> "happy"), or None where it names none."""
    word = text.strip().lower()
    if word.isdecimal() and word.isascii():
        number = int(word)
        return EMOTIONS[number] if number < len(EMOTIONS) else None
    word = _SYNONYMS.get(word, word)
    return word if word in EMOTIONS else None


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names`, in any spelling `parse_emotion` knows, in the canonical order: ids depend on nobody's list.

    Raises ParameterError for a name that is no class, for one named twice, and for fewer than two classes.
    """
    wanted = []
    for name in names:
        emotion = parse_emotion(str(name))
        if emotion is None:
            raise ParameterError(f"Expected classes among {', '.join(EMOTIONS)}; got {name!r}; correct ingest.classes.")
        if emotion in wanted:
            raise ParameterError(f"Expected each class once; {emotion!r} is listed twice; correct ingest.classes.")
        wanted.append(emotion)
    if len(wanted) < 2:
        raise ParameterError(f"Expected at least two classes; got {len(wanted)}; add one to ingest.classes.")
    return tuple(emotion for emotion in EMOTIONS if emotion in wanted)


def class_ids(labels: Iterable[str], classes: tuple[str, ...]) -> list[int]:
    """Encode label names as their positions in `classes`; a KeyError tells of a label outside them."""
    positions = {name: number for number, name in enumerate(classes)}
    return [positions[label] for label in labels]
