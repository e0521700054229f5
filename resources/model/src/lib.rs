//! The vocabulary of Converge: ids, properties, changes, outcomes, the Resource trait, the System ports, documents.
