"""Bodies as they come (CSV, Arrow, JSON) -> FeatureBatch, and ScoreBatch -> the CSV of a reply; pyarrow and NumPy."""

from scorer.codec.decode import decode
from scorer.codec.encode import encode_reply

__all__ = ["decode", "encode_reply"]
