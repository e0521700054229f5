//! What cannot be known is said, and neither refused nor taken for certain.
