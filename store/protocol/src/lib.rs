//! Wire types of the store's HTTP API, versioned.
