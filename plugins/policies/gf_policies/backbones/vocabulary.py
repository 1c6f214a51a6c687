"""Rows at the tail of a vocabulary that a policy may use for tokens of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from transformers import PreTrainedTokenizerBase

from gf_core.errors import GrinningFaceError


def tail_rows(count: int, rows: int, known: int, taken: Collection[int], *, where: str) -> range:
    """The last ``count`` consecutive ids of a vocabulary of ``rows`` that are free.

    Rows beyond the tokenizer's come first since they are last; then the tokens that a tokenizer learned last, which are its
    rarest, as OpenVLA does (arXiv 2406.09246). The first half of what a tokenizer knows is never used.

    Args:
        count: how many.
        rows: of the embedding matrix.
        known: how many of them the tokenizer knows.
        taken: special, added and image tokens.
        where: the model's name, for errors.

    Raises:
        GrinningFaceError: there are no such rows.
    """
    free = 0
    for token in range(rows - 1, known // 2 - 1, -1):
        free = 0 if token in taken else free + 1
        if free >= count:
            return range(token, token + count)
    raise GrinningFaceError(
        f"its vocabulary of {rows} tokens has no {count} consecutive rows to spare",
        where=where,
        hint="use a head with fewer tokens, or a model with a larger vocabulary",
    )


def spellings(reserved: range, tokenizer: PreTrainedTokenizerBase, *, where: str) -> Mapping[int, tuple[int, ...]]:
    """How text is read whose tokens were reserved: each one's letters or bytes, as if the tokenizer had never learned it.

    Returns:
        for each reserved id that the tokenizer knows, the ids that are read in its place.

    Raises:
        GrinningFaceError: the tokenizer has no tokens for single letters or bytes.
    """
    vocabulary = tokenizer.get_vocab()
    words = {token: word for word, token in vocabulary.items() if token in reserved}
    found = {}
    for token, word in words.items():
        letters = list(word)
        octets = [f"<0x{octet:02X}>" for octet in word.replace("▁", " ").encode()]  # SentencePiece's byte fallback
        for pieces in (letters, octets):
            ids = [vocabulary.get(piece, reserved.start) for piece in pieces]
            if not any(piece in reserved for piece in ids):
                found[token] = tuple(ids)
                break
        else:
            raise GrinningFaceError(
                f"its tokenizer can't spell {word!r} any other way, so the token can't be reserved", where=where
            )
    return found
