"""Photographs in pieces: put together as they were, or not at all; nothing is kept of who died."""

from serve.replicas.parcels import Parcel, ParcelShelf, cut

BLOBS = [b"abc", b"", b"defghijk", b"l", b"m"]


def test_pieces_make_the_blobs_again() -> None:
    shelf, pieces = ParcelShelf(), list(cut(BLOBS, 4))
    assert [sum(len(part) for _, part in piece) for piece in pieces] == [4, 4, 4, 1]
    for number, piece in reversed(list(enumerate(pieces))):
        shelf.put("a", number, piece)
    shelf.put("a", 0, pieces[0])  # sent again
    parcel = Parcel(key="a", num_blobs=len(BLOBS), num_pieces=len(pieces))
    assert shelf.take(parcel) == BLOBS
    assert shelf.take(parcel) is None, "handed out once"


def test_a_whole_blob_in_one_piece_is_not_copied() -> None:
    blob = b"x" * 1000
    shelf = ParcelShelf()
    (piece,) = cut([blob])
    shelf.put("a", 0, piece)
    (taken,) = shelf.take(Parcel(key="a", num_blobs=1, num_pieces=1)) or ()
    assert taken is blob


def test_what_lacks_a_piece_is_lost_and_what_is_not_gone_on_with_forgotten() -> None:
    now = [0.0]
    shelf, pieces = ParcelShelf(lambda: now[0]), list(cut(BLOBS, 4))
    for number, piece in enumerate(pieces[:-1]):
        shelf.put("a", number, piece)
    assert shelf.take(Parcel(key="a", num_blobs=len(BLOBS), num_pieces=len(pieces))) is None
    shelf.put("b", 0, pieces[0])
    now[0] = 1000.0
    shelf.put("c", 0, pieces[0])
    assert shelf.take(Parcel(key="b", num_blobs=5, num_pieces=1)) is None
    assert shelf.take(Parcel(key="c", num_blobs=5, num_pieces=1)) is not None
