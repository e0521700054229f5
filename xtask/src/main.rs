//! Everything the project does around the code.
fn main() {}
