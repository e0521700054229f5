//! Packages of the distribution: what is installed, and the transactions that change it.
